# tries: Leave the root by hundreds of "..", by a renamed working folder and by a descriptor held above it.
# user: root
# gvisor: contained
# container: contained
use strict;
use Verdict;
chdir '/';
for (1 .. 300) { chdir '..' }
escaped('chdir leads out') if host_under('.');
escaped('a long path leads out') if host_under('/' . '../' x 500);
mkdir "/a$_" for 1 .. 3;
mkdir '/a1/b';
chdir '/a1/b';
rename '/a1/b', '/a2/b';
rmdir '/a1';
for (1 .. 50) { chdir '..' }
escaped('a renamed folder leads out') if host_under('.');
opendir my $folder, '/a2/b' or denied("opendir: $!");
chdir '/a2/b';
chroot '/a2/b' or denied("chroot: $!");
chdir $folder;
for (1 .. 50) { chdir '..' }
escaped('a descriptor leads out') if host_under('.');
contained('"..", however often, ends at the own root');
