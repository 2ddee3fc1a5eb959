# tries: Load its own code into programs that the server starts for root: ld.so.preload, profile, bashrc, PATH.
# user: root
# gvisor: contained: it changes its own sandbox; the agent is static and loads nothing
# container: contained: it changes its own sandbox; the agent is static and loads nothing
. ./verdict.sh
echo /tmp/none.so >/etc/ld.so.preload
printf 'exit 3\n' >>/etc/bash.bashrc
printf 'exit 3\n' >>/etc/profile
rm -f /etc/ld.so.preload
contained "the agent's own program does not notice"
