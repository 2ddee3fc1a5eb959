# tries: Get anything out of a sandbox without internet: names, TCP, UDP, ping, by address and by name.
# internet: no
# timeout: 40
# gvisor: denied
# container: denied
. ./verdict.sh
for target in 1.1.1.1 8.8.8.8 $(printf '%s\n' $HOST_ADDRESSES | grep -v : | grep -v ^127 | head -n 2); do
  timeout 1 bash -c "echo >/dev/tcp/$target/443" 2>/dev/null && escaped "$target answers"
  timeout 1 bash -c "echo >/dev/tcp/$target/$CANARY_PORT" 2>/dev/null && escaped "$target answers"
  ping -c1 -W1 "$target" >/dev/null 2>&1 && escaped "$target answers a ping"
done
timeout 5 getent hosts example.com && escaped "a name was resolved"
denied "nothing goes out"
