# tries: Fill the disk.
# gvisor: limited
# container: limited
. ./verdict.sh
said=$(dd if=/dev/zero of=big bs=1M count=4000 2>&1)
case "$said" in *"No space"*) limited "$(echo "$said" | tail -n 1)" ;; esac
escaped "$said"
