# perl pipes.pl COMMAND [ARGUMENT …]: runs an engine that cannot move descriptors by itself, in this process.
#
# The kernel's own ends are moved out of user code's way: 3 requests, 4 events, 5 diagnostics. 0 is empty, and
# 1 and 2 become pipes: what is written to them, by whomever, can be read from 6 and 7. 8 and 9 keep those pipes
# open when user code closes its own ends.
use strict;
use warnings;
use POSIX ();

my ($first, $last) = (3, 9);
$^F = $last;    # what perl opens up to here, the engine inherits
my $null = POSIX::open("/dev/null", POSIX::O_RDONLY);
POSIX::dup2($null, $_) for grep { $_ != $null } $first + 3 .. $last;
POSIX::close($null) if $null > $last;
POSIX::dup2(2, 5);
POSIX::dup2(1, 4);
POSIX::dup2(0, 3);
open(STDIN, "<", "/dev/null") or die "/dev/null: $!";
for my $stream (1, 2) {
    my ($reader, $writer) = POSIX::pipe();
    POSIX::dup2($reader, $stream + 5);
    POSIX::dup2($writer, $stream + 7);
    POSIX::dup2($writer, $stream);
    POSIX::close($_) for $reader, $writer;
}
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!";
