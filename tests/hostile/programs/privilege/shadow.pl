# tries: Read and change the password files as an ordinary user, directly and through links and hard links.
# gvisor: denied
# container: denied
use strict;
use Verdict;
my @said;
for my $file (qw(/etc/shadow /etc/gshadow /etc/passwd /etc/sudoers)) {
    for my $mode ('<', '>>') {
        next if $mode eq '<' and $file eq '/etc/passwd';
        if (open my $in, $mode, $file) { escaped("$file can be opened with $mode") }
        push @said, "$file: $!";
    }
    link $file, "./hard" and chmod(0666, './hard') and escaped("a hard link gave $file away");
    rename $file, "$file.old" and escaped("$file was moved");
}
denied($said[0]);
