# tries: Become root by a copy of a shell that sets the user id, made by root beforehand through sudo.
# gvisor: denied
# container: denied
. ./verdict.sh
sudo sh -c 'cp /bin/bash /tmp/rootshell; chown 0:0 /tmp/rootshell; chmod 6755 /tmp/rootshell'
id=$(/tmp/rootshell -p -c 'id -u')
[ "$id" = 0 ] && escaped "a setuid shell is root"
cp /usr/bin/id ./id2 && chmod u+s ./id2
denied "the shell runs as $id"
