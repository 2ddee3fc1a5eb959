# tries: Find an API key of the server in environments, files, command lines and shared memory.
# user: root
# timeout: 30
# gvisor: denied
# container: denied
. ./verdict.sh
pattern='sl_[0-9a-f]\{20,\}'
grep -rao "$pattern" /etc /root /home /run /tmp /dev/shm /.sandlot --exclude-dir=attack 2>/dev/null && escaped "in a file"
for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do
  tr '\0' '\n' <"$file" 2>/dev/null | grep -a "$pattern" && escaped "in $file"
done
denied "nowhere"
