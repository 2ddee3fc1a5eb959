# tries: Enter the namespaces of process 1 and of the host's processes with nsenter.
# user: root
# timeout: 30
# gvisor: denied or contained: process 1 of the sandbox is in the same namespaces
# container: denied
. ./verdict.sh
for pid in 1 "$HOST_PID" 2 100; do
  for kind in -m -u -i -n -p -U -C -a; do
    if said=$(nsenter -t "$pid" $kind cat "$CANARY/secret" 2>&1); then
      escaped "nsenter $kind of $pid: $said"
    fi
    nsenter -t "$pid" $kind true 2>/dev/null && entered="$entered $pid$kind"
  done
done
[ -n "$entered" ] && contained "only its own:$entered"
denied "$said"
