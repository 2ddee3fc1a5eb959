# tries: Mount a tmpfs larger than the machine and fill it.
# user: root
# gvisor: ended or limited
# container: denied
. ./verdict.sh
said=$(mount -t tmpfs -o size=100g none /mnt 2>&1) || denied "$said"
dd if=/dev/zero of=/mnt/big bs=1M count=4000 2>&1 | tail -n 1
limited "the memory was not to be had"
