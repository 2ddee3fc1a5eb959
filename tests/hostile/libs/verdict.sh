# How a hostile program in Bash says what came of it. Uploaded beside it.
verdict() {
  local word=$1
  shift
  printf '\nVERDICT %s %s\n' "$word" "$(printf '%s' "$*" | tr '\n' ' ' | head -c 300)"
  exit 0
}
denied() { verdict denied "$@"; }
contained() { verdict contained "$@"; }
limited() { verdict limited "$@"; }
seen() { verdict seen "$@"; }
escaped() { verdict escaped "$@"; }

# Whether the host's files are below a folder: its canary would be.
host_under() { [ -e "${1%/}$CANARY/secret" ]; }
