# tries: Make /dev/mem, /dev/kmem, /dev/port and /dev/kmsg anew on every mount that might allow devices, and read them.
# user: root
# gvisor: denied
# container: denied
use strict;
use Verdict;
my @said;
for my $place ('/tmp', '/dev', '/dev/shm', '/home/user', '/run') {
    for my $device (['mem', 1, 1], ['kmem', 1, 2], ['port', 1, 4], ['kmsg', 1, 11]) {
        my ($name, $major, $minor) = @$device;
        my $said = `mknod $place/h-$name c $major $minor 2>&1`;
        if (open my $file, '<', "$place/h-$name") {
            my $got;
            escaped("$place/h-$name can be read") if sysread $file, $got, 16;
        }
        else { push @said, "$name: $!" }
    }
}
denied(join '; ', @said[0 .. 3]);
