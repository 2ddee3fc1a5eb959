# tries: Make hard links to files of others and of the host, to keep or change them.
# gvisor: denied or contained
# container: denied or contained
use strict;
use Verdict;
my @made;
for my $file ("$ENV{CANARY}/secret", '/etc/shadow', '/.sandlot/agent', '/proc/1/exe', '/etc/passwd') {
    unlink 'hard';
    if (link $file, 'hard') {
        push @made, $file;
        escaped("a link to $file can be written") if open my $out, '+<', 'hard';
    }
}
contained("links that give no rights: @made") if @made;
denied("no link can be made: $!");
