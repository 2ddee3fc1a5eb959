# tries: Signal to neighbours through locks on files of the template that both see.
# gvisor: denied
# container: denied
# timeout: 15
use strict;
use Verdict;
use Fcntl ':flock';
my $held = 0;
for my $file (glob('/usr/bin/a* /etc/*'), '/.sandlot/agent') {
    open my $in, '<', $file or next;
    flock $in, LOCK_EX | LOCK_NB or $held++;
    flock $in, LOCK_UN;
}
escaped("$held files are locked by others") if $held;
denied('no lock of another is to be seen');
