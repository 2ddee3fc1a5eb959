# tries: Double a string until memory is gone, again and again in new processes.
# gvisor: ended or limited
# container: ended or limited
# timeout: 30
use strict;
use Verdict;
my $ended = 0;
for (1 .. 2) {
    my $child = fork // last;
    if (!$child) { my $text = 'x' x 1_000_000; $text .= $text while 1 }
    waitpid $child, 0;
    $ended++ if $?;
}
limited("$ended of 2 children were ended");
