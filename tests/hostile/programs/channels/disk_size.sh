# tries: Learn the host's disk, its size and what else is on it from its own file system.
# gvisor: contained
# container: contained
. ./verdict.sh
size=$(df -B1 --output=size / | tail -n 1)
[ "$size" -gt $((512 << 20)) ] && escaped "the file system has $size bytes, its own had 96 MiB"
contained "its file system has $size bytes, which is its own"
