# What an interactive bash reads, and then what makes it one for programs.
exec 2>"$SANDLOT_STDERR"
unset SANDLOT_STDERR
[ -r /etc/bash.bashrc ] && . /etc/bash.bashrc
[ -r ~/.bashrc ] && . ~/.bashrc
__sandlot_status() { return "$1"; } # for `$?` at the beginning of a run
set +o history +o histexpand
unset HISTFILE PROMPT_COMMAND MAILCHECK
PS1= PS2=
