# Sourced by every interactive shell. Forks nothing: see /etc/profile.
[ -z "$PS1" ] && return
shopt -s checkwinsize histappend
HISTCONTROL=ignoreboth
PS1='\[\e[32m\]\u@\h\[\e[0m\]:\[\e[34m\]\w\[\e[0m\]\$ '
alias ls='ls --color=auto' ll='ls -l' la='ls -A' grep='grep --color=auto'
case ":$PATH:" in
  *":$HOME/.local/bin:"*) ;;
  *) PATH=$HOME/.local/bin:$PATH ;;
esac
