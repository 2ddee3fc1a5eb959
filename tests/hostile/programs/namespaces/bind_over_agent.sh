# tries: Cover the agent's program and /proc with files of its own, by bind mounts.
# user: root
# gvisor: contained or denied: it changes its own view; the agent runs on
# container: denied
. ./verdict.sh
printf '#!/bin/sh\nexit 0\n' >/fake
chmod 755 /fake
said=$(mount --bind /fake /.sandlot/agent 2>&1) && done=agent
mount --bind /tmp /proc 2>/dev/null && done="$done proc"
[ -n "$done" ] && contained "covered: $done"
denied "$said"
