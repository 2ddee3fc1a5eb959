# tries: Take a loop device to mount an image of its own, or to look into the disks of other sandboxes.
# user: root
# gvisor: denied
# container: denied
. ./verdict.sh
truncate -s 8M /image
said=$(losetup -f /image 2>&1) && escaped "a loop device was taken"
mknod /dev/loop-control c 10 237 2>/dev/null
for n in 0 1 2 3 4 5 6 7; do
  mknod "/dev/loop$n" b 7 $n 2>/dev/null
  head -c 512 "/dev/loop$n" 2>/dev/null | grep -q . && escaped "loop$n can be read"
done
mount -o loop /image /mnt 2>/dev/null && escaped "mounted"
denied "$said"
