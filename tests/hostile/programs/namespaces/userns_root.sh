# tries: Become root in a user namespace of its own, and mount, make devices and change routes from there.
# gvisor: contained or denied
# container: denied
. ./verdict.sh
said=$(unshare -Urmn sh -c 'id -u; mount -t tmpfs none /mnt && echo mounted; mknod /mnt/disk b 254 0 && head -c 1 /mnt/disk && echo THE-DISK; ip link' 2>&1)
case "$said" in
*THE-DISK*) escaped "$said" ;;
*mounted*) contained "root over its own namespace: $said" ;;
esac
denied "$said"
