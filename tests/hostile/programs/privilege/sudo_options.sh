# tries: Break out of sudo's rules: environment that loads code, odd options, another root, a shell in its arguments.
# user: nobody
# gvisor: denied
# container: denied
. ./verdict.sh
printf 'x' >/tmp/evil.so
for attempt in "sudo -R /tmp id" "sudo -e /etc/shadow" "sudo LD_PRELOAD=/tmp/evil.so id -u" "sudo -u#-1 id -u" \
  "sudo -u#4294967295 id -u" "sudo -g root id -u" "su -c id" "su - root -c id" "sudoedit -s x\\"; do
  got=$($attempt 2>&1 </dev/null)
  case "$got" in 0 | "uid=0"*) escaped "$attempt: $got" ;; esac
done
denied "$got"
