#!/bin/bash
# Runs inside the template, without a network. /.build/debs holds the packages of debs.txt and what they need.
set -euo pipefail

mkdir -p /usr/share/man/man1 # manual pages are left out, but Java's alternatives want their folder
apt-get install --quiet --yes --no-install-recommends -o Dpkg::Use-Pty=0 /.build/debs/*.deb

# What only makes other Java runtimes.
rm -rf /usr/lib/jvm/*/jmods
# Fonts are looked for once, here: in gVisor that takes seconds.
fc-cache --system-only
Rscript --vanilla -e 'png("/tmp/plot.png", type = "cairo"); plot(1); invisible(dev.off())'

java -version
R --version
find /var/log -type f -exec truncate -s 0 {} +
rm -rf /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache /etc/*-
mkdir -p /var/cache/apt/archives/partial
