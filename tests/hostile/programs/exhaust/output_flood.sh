# tries: Write output without end.
# timeout: 4
# gvisor: stopped
# container: stopped
yes "$(head -c 3000 /dev/zero | tr '\0' x)"
