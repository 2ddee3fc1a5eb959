# tries: Read how the host's kernel was built and started: config.gz, cmdline, firmware tables.
# user: root
# gvisor: contained or denied
# container: seen or denied: the kernel's command line and release
use strict;
use Verdict;
my @got;
for my $file ('/proc/config.gz', '/proc/cmdline', '/sys/firmware/acpi/tables/DSDT', '/sys/firmware/dmi/tables/DMI',
              '/sys/class/dmi/id/product_uuid', '/sys/kernel/notes', '/boot/config-' . `uname -r`) {
    if (open my $in, '<', $file) { my $text = <$in> // ''; push @got, "$file: " . substr($text, 0, 40) if length $text }
}
escaped("@got") if grep { m{^/sys|config} } @got;
contained("@got") if `uname -v` =~ /2016/;
seen("@got") if @got;
denied('none can be read');
