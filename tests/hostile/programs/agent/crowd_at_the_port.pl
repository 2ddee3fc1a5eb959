# tries: Occupy the agent's port with connections that never say anything, so that the server cannot get in.
# timeout: 30
# gvisor: contained
# container: contained
use strict;
use Verdict;
use IO::Socket::INET;
my @held;
for (1 .. 400) {
    my $talk = IO::Socket::INET->new(PeerAddr => '127.0.0.1:1023', Timeout => 2) or last;
    push @held, $talk;
}
contained(scalar(@held) . ' connections opened; the server still reaches the agent');
