# tries: Lift its own limits through the cgroup file system, mounted where it is and wherever it can be mounted.
# user: root
# gvisor: contained or denied: gVisor's own groups; the one on the host stays
# container: denied
. ./verdict.sh
mkdir -p /c
for kind in memory pids cpu cpuset devices freezer; do
  mkdir -p /c/$kind
  mount -t cgroup -o $kind none /c/$kind 2>/dev/null
done
mount -t cgroup2 none /c 2>/dev/null
for file in $(find /c /sys/fs/cgroup -name 'memory.limit_in_bytes' -o -name pids.max -o -name memory.max -o -name cpu.max \
  -o -name cpu.cfs_quota_us -o -name devices.allow -o -name freezer.state 2>/dev/null); do
  (echo -1 >"$file") 2>/dev/null && taken="$taken $file"
  (echo max >"$file") 2>/dev/null && taken="$taken $file"
  (echo a >"$file") 2>/dev/null && taken="$taken $file"
done
[ -n "$taken" ] && contained "written inside:$taken"
denied "no limit can be written"
