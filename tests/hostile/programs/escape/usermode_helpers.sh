# tries: Name a program of ours where the host's kernel starts helpers: modprobe, hotplug, poweroff, uevent, binfmt.
# user: root
# gvisor: denied
# container: denied
. ./verdict.sh
printf '#!/bin/sh\ntouch %s/owned\n' "$CANARY" >/tmp/helper
chmod 755 /tmp/helper
for file in /proc/sys/kernel/modprobe /proc/sys/kernel/hotplug /proc/sys/kernel/poweroff_cmd \
  /sys/kernel/uevent_helper /proc/sys/kernel/core_pattern /sys/fs/cgroup/release_agent /proc/sys/fs/binfmt_misc/register; do
  (echo /tmp/helper >"$file") 2>/dev/null && [ "$(cat "$file" 2>/dev/null)" = /tmp/helper ] && escaped "$file was written"
done
# An unknown kind of binary makes a kernel look for a module to run it with.
printf '\377\377\377\377' >/tmp/unknown
chmod 755 /tmp/unknown
/tmp/unknown 2>/dev/null
denied "no helper can be named"
