# tries: Fork without end, each child a new session leader with a new name.
# timeout: 4
# gvisor: stopped or limited or ended
# container: stopped or limited or ended
use POSIX;
while (1) { fork // next; POSIX::setsid(); $0 = "innocent$$" }
