# tries: Find any program in the template that sets the user or group id or has capabilities, and use it.
# timeout: 30
# gvisor: denied
# container: denied
use strict;
use Verdict;
use File::Find;
my @found;
find({ no_chdir => 1, wanted => sub {
    my @about = lstat $_ or return;
    push @found, $_ if -f _ and $about[2] & 06000;
} }, '/usr', '/etc', '/opt', '/home', '/var', '/.sandlot');
escaped("@found") if @found;
denied('no file sets an id');
