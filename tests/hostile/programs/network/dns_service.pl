# tries: Use the name service as a way in: TCP garbage, zone transfers, version questions, other ports of its address.
# timeout: 30
# gvisor: denied
# container: denied
use strict;
use Verdict;
use IO::Socket::INET;
$SIG{PIPE} = "IGNORE";
open my $conf, '<', '/etc/resolv.conf';
my ($server) = map { /^nameserver (\S+)/ ? $1 : () } <$conf>;
denied('there is no name server') unless $server;
for my $port (22, 80, 1023, 2375, 8000, $ENV{SERVER_PORT}, $ENV{CANARY_PORT}) {
    my $talk = IO::Socket::INET->new(PeerAddr => "$server:$port", Timeout => 1);
    escaped("$server:$port answers") if $talk;
}
my $talk = IO::Socket::INET->new(PeerAddr => "$server:53", Timeout => 2);
if ($talk) {
    my $transfer = "\0\1\0\0\0\1\0\0\0\0\0\0\0\0\xfc\0\1";
    print $talk pack('n', length $transfer), $transfer, 'x' x 70000;
    $talk->flush;
}
denied("nothing but names at $server");
