# tries: Scan private ranges for routers, databases and other sandboxes.
# timeout: 30
# gvisor: denied
# container: denied
use strict;
use Verdict;
use Socket;
use IO::Select;
my %waiting;
my $select = IO::Select->new;
for my $host (map({ "10.192.0.$_" } 0 .. 40), map({ "10.0.0.$_" } 1 .. 10), map({ "172.17.0.$_" } 1 .. 10), map({ "192.168.0.$_" } 1 .. 10)) {
    for my $port (80, 8000) {
        socket my $talk, PF_INET, SOCK_STREAM, 0 or next;
        $talk->blocking(0);
        connect $talk, sockaddr_in($port, inet_aton($host));
        $select->add($talk);
        $waiting{$talk} = "$host:$port";
    }
}
my $until = time + 3;
while (time < $until) {
    for my $talk ($select->can_write(0.5)) {
        my $peer = getpeername $talk;
        escaped("$waiting{$talk} answers") if $peer;
        $select->remove($talk);
    }
}
denied(scalar(keys %waiting) . ' doors, none opens');
