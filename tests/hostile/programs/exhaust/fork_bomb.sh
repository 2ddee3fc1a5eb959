# tries: Fork without end, as an ordinary user.
# timeout: 4
# gvisor: stopped or limited or ended
# container: stopped or limited or ended
. ./verdict.sh
bomb() { bomb | bomb & }
bomb 2>/dev/null
wait
limited "no process is to be had"
