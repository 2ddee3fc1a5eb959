# tries: Spoil the template for all who come after: overwrite, remove, link and fill system files.
# user: root
# gvisor: contained: its own layer takes the changes; the witness and later sandboxes see the old files
# container: contained: its own layer takes the changes; the witness and later sandboxes see the old files
. ./verdict.sh
printf 'echo taken over\n' >/usr/bin/env
rm -rf /usr/share /etc/passwd /var/lib/dpkg
printf 'x' >>/bin/ls
chmod 0 /lib
contained "destroyed for itself alone"
