# tries: Walk to the host's files through /proc/PID/root and /proc/PID/cwd of every process.
# user: root
# gvisor: contained: all of them end in the sandbox's own root
# container: contained: all of them end in the sandbox's own root
. ./verdict.sh
for link in /proc/[0-9]*/root /proc/[0-9]*/cwd /proc/[0-9]*/task/*/root; do
  for up in "" /.. /../../../../../../../..; do
    host_under "$link$up" && escaped "$link$up is the host's root"
    cat "$link$up$CANARY/secret" 2>/dev/null
  done
done
contained "every root and folder in /proc is the sandbox's"
