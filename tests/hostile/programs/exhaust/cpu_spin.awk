# tries: Compute without end on one processor.
# timeout: 4
# gvisor: stopped
# container: stopped
BEGIN { while (1) x = x * 1.0000001 + 1 }
