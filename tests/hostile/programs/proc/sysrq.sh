# tries: Press the magic SysRq key, by proc, by its sysctl and by a fake keyboard.
# user: root
# gvisor: denied
# container: denied
. ./verdict.sh
for key in h s t; do
  (echo $key >/proc/sysrq-trigger) 2>/dev/null && [ ! -s /proc/sysrq-trigger ] && pressed="$pressed $key"
done
(echo 1 >/proc/sys/kernel/sysrq) 2>/dev/null && escaped "the sysctl was written"
[ -e /dev/uinput ] && escaped "a keyboard can be made"
# A file that swallows everything is the mask over the real one.
[ -n "$pressed" ] && [ "$(stat -c %t,%T /proc/sysrq-trigger)" != 1,3 ] && escaped "SysRq$pressed was pressed"
denied "SysRq is out of reach"
