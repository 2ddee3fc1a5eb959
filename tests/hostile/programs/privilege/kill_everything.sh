# tries: Kill every process it can see or guess, process 1 and the host's among them.
# user: root
# gvisor: ended or contained
# container: ended or contained: process 1 of a namespace is safe from those within
. ./verdict.sh
kill -9 "$HOST_PID" 2>/dev/null && [ ! -d "/proc/$HOST_PID" ] && killed=yes
for signal in TERM INT STOP SEGV KILL; do
  kill -$signal 1 2>/dev/null
done
(trap '' TERM; kill -TERM -1)
kill -0 1 2>/dev/null && contained "process 1 lives on"
kill -9 -1
