# Your own settings for interactive shells. /etc/bash.bashrc has been read before this file.
