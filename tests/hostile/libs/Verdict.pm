# How a hostile program in Perl says what came of it. Uploaded beside it.
package Verdict;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(verdict denied contained limited seen escaped host_under);

sub verdict {
    my ($word, @text) = @_;
    $| = 1;
    print "\nVERDICT $word @text\n";
    require POSIX;
    POSIX::_exit(0);
}
sub denied    { verdict('denied',    @_) }
sub contained { verdict('contained', @_) }
sub limited   { verdict('limited',   @_) }
sub seen      { verdict('seen',      @_) }
sub escaped   { verdict('escaped',   @_) }
# Whether the host's files are below a folder: its canary would be.
sub host_under { my ($root) = @_; $root =~ s{/$}{}; return -e "$root$ENV{CANARY}/secret" }
1;
