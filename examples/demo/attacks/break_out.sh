# Root inside tries the classic ways out. Each that leads somewhere prints its name.
try() { if sh -c "$2" >/dev/null 2>&1; then echo "$1"; fi; }
cd /tmp
try "raw disk"        "mknod disk b $DISK && head -c 4096 disk | grep -qc ."
try "kernel memory"   "head -c 1 /dev/mem || head -c 1 /dev/kmem || head -c 4096 /proc/kcore | grep -q ELF"
try "kernel module"   "insmod /dev/null || modprobe dummy"
try "control socket"  "ls /run/docker.sock || ls /run/containerd/containerd.sock || ls /run/systemd/private"
try "host's process"  "grep -q sandlot /proc/$SERVER_PID/cmdline"
try "core pattern"    "echo '|/tmp/owned' > /proc/sys/kernel/core_pattern"
try "sysrq"           "echo h > /proc/sysrq-trigger"
echo "tried 7"
