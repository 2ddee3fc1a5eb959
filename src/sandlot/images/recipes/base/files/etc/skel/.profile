# Sourced by login shells after /etc/profile, which sets PATH and has already read /etc/bash.bashrc.
[ -n "$BASH_VERSION" ] && [ -n "$PS1" ] && [ -r "$HOME/.bashrc" ] && . "$HOME/.bashrc"
:
