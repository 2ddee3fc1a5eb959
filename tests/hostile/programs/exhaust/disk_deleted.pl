# tries: Fill the disk with files that are deleted but held open, where nobody sees them.
# gvisor: limited
# container: limited
use strict;
use Verdict;
my ($written, @held) = (0);
while (1) {
    open my $file, '>', 'ghost' or limited("$written MiB: $!");
    push @held, $file;
    unlink 'ghost';
    for (1 .. 8) { defined syswrite($file, 'x' x (1 << 20)) ? $written++ : limited("$written MiB, then $!") }
}
