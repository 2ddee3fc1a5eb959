# tries: Write both kinds of output at once without end, full of nonsense bytes.
# timeout: 4
# gvisor: stopped
# container: stopped
my $noise = join '', map { chr int rand 256 } 1 .. 65536;
while (1) { syswrite STDERR, $noise; syswrite STDOUT, $noise }
