# tries: Take the covers off the masked parts of /proc: by umount, by another proc mount, through other processes.
# user: root
# gvisor: contained or denied: gVisor's /proc holds nothing to cover
# container: denied
. ./verdict.sh
for file in kcore keys timer_list sched_debug interrupts kallsyms; do
  umount "/proc/$file" 2>/dev/null
  umount -l "/proc/$file" 2>/dev/null
  for root in /proc/1/root /proc/self/task/$$/root /proc/thread-self/root; do
    [ -s "$root/proc/$file" ] && head -c 100 "$root/proc/$file" | grep -q . && bare="$bare $root/proc/$file"
  done
done
mkdir -p /p
mount -t proc proc /p 2>/dev/null && again=yes
[ -n "$again" ] && [ -e /p/kcore ] && head -c 16 /p/kcore | grep -q ELF && escaped "kcore of another proc mount"
[ -n "$again" ] && contained "another /proc, gVisor's own"
[ -n "$bare" ] && escaped "bare:$bare"
denied "covers cannot be taken off"
