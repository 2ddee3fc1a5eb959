# tries: Read, clear and switch off the kernel's log.
# user: root
# gvisor: contained or denied: gVisor's log is made up
# container: denied
. ./verdict.sh
said=$(dmesg 2>&1) && printf '%s\n' "$said" | grep -qv 'gVisor\|^\[' && [ -n "$said" ] && text=$said
dmesg -C 2>/dev/null && cleared=yes
case "$(cat /dev/kmsg 2>&1 | head -n 3)" in *[0-9],[0-9]*) escaped "/dev/kmsg can be read" ;; esac
host_kernel=$(uname -r)
case "$said" in
*"Linux version"*) escaped "the host's log: $said" ;;
*"ermission"* | *"not permitted"* | *"failed"*) denied "$said" ;;
esac
contained "a log of its own, ${cleared:-not} cleared: $(printf '%s' "$said" | head -n 1)"
