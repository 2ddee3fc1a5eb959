# tries: The same walk through /proc/1 by an ordinary user.
# gvisor: contained or denied: only the environment can be read, and the secret is wiped from it
# container: denied
use strict;
use Verdict;
my @refused;
for my $name (qw(root cwd exe fd/0 fd/1 fd/2 fd/3 environ mem maps)) {
    if (open my $file, '<', "/proc/1/$name") {
        my $got = '';
        read $file, $got, 64;
        contained("/proc/1/$name could be read") if length $got;
    }
    push @refused, "$name: $!";
    opendir my $folder, "/proc/1/$name" and host_under("/proc/1/$name") and escaped("/proc/1/$name is the host");
}
denied(join '; ', @refused);
