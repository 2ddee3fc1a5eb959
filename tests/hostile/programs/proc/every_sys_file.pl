# tries: Open every file in /sys for writing and write a number into it.
# user: root
# gvisor: denied
# container: denied
# timeout: 30
use strict;
use Verdict;
use File::Find;
my ($tried, @taken) = (0);
find({ no_chdir => 1, wanted => sub {
    return if -l $_ or !-f _;
    $tried++;
    return unless open my $file, '+<', $_;
    push @taken, $_ if syswrite $file, "0\n";
} }, '/sys');
escaped("taken: @taken[0 .. ($#taken > 5 ? 5 : $#taken)]") if @taken;
denied("none of $tried files can be written");
