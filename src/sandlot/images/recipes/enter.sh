#!/bin/bash
# Runs SETUP inside a root file system, as root, in mount and network namespaces of its own: whatever is mounted
# here goes away with the last process, also when that is killed.
#   enter.sh ROOTFS SETUP [NAME=FOLDER …]            a root file system as it is
#   enter.sh --overlay LOWER UPPER WORK ROOTFS SETUP [NAME=FOLDER …]      a new layer over LOWER (colon-separated)
# Every FOLDER appears read-only as /.build/NAME.
set -euo pipefail

if [ "$1" = --overlay ]; then
  # Without these features the upper folder is complete in itself and can be any overlay's lower one later.
  mount -t overlay overlay -o "lowerdir=$2,upperdir=$3,workdir=$4,index=off,metacopy=off,redirect_dir=off" "$5"
  shift 4
fi
rootfs=$1 setup=$2
shift 2

mount -t tmpfs -o mode=755,size=1m tmpfs "$rootfs/dev"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
  IFS=: read -r name major minor <<<"$node"
  mknod -m 666 "$rootfs/dev/$name" c "$major" "$minor"
done
ln -s /proc/self/fd "$rootfs/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$rootfs/tmp"
mount -t proc proc "$rootfs/proc"

mkdir "$rootfs/.build"
mount -t tmpfs -o mode=755 tmpfs "$rootfs/.build"
cp "$setup" "$rootfs/.build/setup.sh"
for pair in "$@"; do
  mkdir "$rootfs/.build/${pair%%=*}"
  mount --bind "${pair#*=}" "$rootfs/.build/${pair%%=*}"
  mount -o remount,bind,ro "$rootfs/.build/${pair%%=*}"
done
env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  chroot "$rootfs" /bin/bash /.build/setup.sh
umount -R "$rootfs/.build" "$rootfs/proc" "$rootfs/tmp" "$rootfs/dev"
rmdir "$rootfs/.build"
