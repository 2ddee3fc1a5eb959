#!/bin/bash
# Runs inside the template, without a network. /.build/kernels is a read-only view of guest/kernels.
set -euo pipefail

mkdir -p /usr/lib/sandlot
cp -R --no-preserve=all /.build/kernels /usr/lib/sandlot/kernels
find /usr/lib/sandlot -name __pycache__ -prune -exec rm -rf {} +
chmod -R a+rX,go-w /usr/lib/sandlot
python3 -m compileall -q /usr/lib/sandlot/kernels

# Java's half is compiled, and an archive of its classes after a rehearsal: in gVisor that is most of its start.
cd /usr/lib/sandlot/kernels/java
mkdir classes
javac -nowarn -Xlint:none -XDignore.symbol.file -d classes sandlot/kernel/*.java
jar --create --file kernel.jar -C classes .
rm -r classes
perl ../pipes.pl java -XX:ArchiveClassesAtExit=kernel.jsa @options sandlot.kernel.Main "$(cat rehearsal.jsh)" </dev/null
chmod a+r kernel.jar kernel.jsa
