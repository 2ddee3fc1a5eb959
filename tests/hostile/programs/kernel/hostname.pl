# tries: Change the host's name and domain.
# user: root
# gvisor: denied or contained
# container: denied
use strict;
use Verdict;
my %number = `uname -m` =~ /x86_64/ ? (sethostname => 170, setdomainname => 171) : (sethostname => 161, setdomainname => 162);
my (@said, @done);
for my $call (sort keys %number) {
    my $name = 'taken-over';
    if (syscall($number{$call}, $name, length $name) == 0) { push @done, $call }
    else { push @said, "$call: $!" }
}
for my $file (qw(hostname domainname)) {
    my $out;
    if (open($out, '>', "/proc/sys/kernel/$file") && syswrite($out, 'taken-over')) { push @done, $file }
    else { push @said, "$file: $!" }
}
contained("of the sandbox alone: @done") if @done;
denied("@said");
