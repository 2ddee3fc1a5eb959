# tries: Mount the host's disks, process list, devices and sysfs by every name a mount takes.
# user: root
# gvisor: contained or denied: what can be mounted is gVisor's own
# container: denied
. ./verdict.sh
mkdir -p /m
mounted=""
for kind in proc sysfs devtmpfs tmpfs debugfs tracefs securityfs bpf cgroup2 mqueue hugetlbfs configfs pstore efivarfs; do
  if mount -t $kind none /m 2>/dev/null; then
    host_under /m && escaped "$kind shows the host"
    [ -e "/m/$HOST_PID/environ" ] && cat "/m/$HOST_PID/environ"
    mounted="$mounted $kind"
    umount -l /m
  fi
done
for disk in /dev/vda /dev/vda1 /dev/sda1 /dev/nvme0n1 /dev/root /dev/loop0 /dev/loop1 /dev/dm-0; do
  for kind in ext4 xfs btrfs iso9660 squashfs; do
    mount -t $kind $disk /m 2>/dev/null && escaped "$disk is mounted"
  done
done
[ -n "$mounted" ] && contained "mounts of the sandbox's own kernel:$mounted"
denied "every mount is refused"
