#!/bin/bash
# Runs inside the new root file system, without a network, after the packages and files/ are in place.
set -euo pipefail

# Debian's forks a program at the end of a login shell.
rm -f /etc/skel/.bash_logout
useradd --create-home --uid 1000 --user-group --shell /bin/bash --groups sudo user
cp /etc/skel/.profile /etc/skel/.bashrc /root/

# gVisor does not honour setuid bits, so both commands are clients of the agent, which the runtime mounts at
# this path. The diversions make later upgrades of the packages leave the links alone.
for command in su sudo; do
  path=$(dpkg -L util-linux | grep -x -e "/bin/$command" -e "/usr/bin/$command" || echo "/usr/bin/$command")
  dpkg-divert --quiet --local --no-rename --divert "$path.distrib" --add "$path"
  if [ -e "$path" ]; then mv "$path" "$path.distrib"; fi
  ln -s /.sandlot/agent "/usr/bin/$command"
done
find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

mkdir -p /.sandlot /proc /sys /dev /run /tmp /workspace
touch /.sandlot/agent
chmod 755 /.sandlot/agent
chown user:user /workspace

printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' > /etc/hosts
echo sandbox > /etc/hostname
: > /etc/resolv.conf
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id

# What installing left behind. Logs are emptied, not removed: some packages expect theirs.
find /var/log -type f -exec truncate -s 0 {} +
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache \
  /etc/*- /var/tmp/* /run/* /root/.cache
mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial
