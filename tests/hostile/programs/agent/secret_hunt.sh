# tries: Look for the agent's secret in every environment, command line, file, log and the memory files of /proc.
# user: root
# gvisor: denied
# container: denied
. ./verdict.sh
for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/auxv; do
  tr '\0' '\n' <"$file" 2>/dev/null | grep -a 'SANDLOT_SECRET=.' && escaped "in $file"
done
grep -ra 'SANDLOT_SECRET=.' /etc /run /tmp /root /home /var/log --exclude-dir=attack 2>/dev/null | grep -v hunt && escaped "in a file"
env | grep SECRET && escaped "in the environment"
denied "nowhere"
