# tries: Mount a cgroup v1 hierarchy and name a program as its release agent, which the host's kernel would run.
# user: root
# gvisor: contained or denied: its cgroups are gVisor's own, and know no release agent
# container: denied
. ./verdict.sh
mkdir -p /tmp/cg
for kind in memory rdma pids devices; do
  mount -t cgroup -o $kind cgroup /tmp/cg 2>&1 && break
done
mkdir -p /tmp/cg/x 2>&1
found=$(find /tmp/cg /sys/fs/cgroup -name release_agent 2>/dev/null)
printf '#!/bin/sh\ntouch %s/owned\n' "$CANARY" >/cmd
chmod +x /cmd
for file in $found; do
  echo 1 2>/dev/null >"${file%/*}/notify_on_release"
  if echo /cmd 2>/dev/null >"$file"; then
    echo 1 >"${file%/*}/x/notify_on_release"
    sh -c "echo \$\$ >${file%/*}/x/cgroup.procs"
    contained "a release agent could be named in $file"
  fi
done
denied "no release agent to be found or written"
