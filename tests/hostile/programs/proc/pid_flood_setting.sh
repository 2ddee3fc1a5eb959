# tries: Raise what the kernel allows everybody: pid_max, file-max, max_user_namespaces, inotify, shmmax, msgmax.
# user: root
# gvisor: denied or contained
# container: denied
. ./verdict.sh
for file in kernel/pid_max fs/file-max fs/nr_open user/max_user_namespaces fs/inotify/max_user_watches kernel/shmmax \
  kernel/msgmax fs/mqueue/queues_max fs/pipe-max-size kernel/keys/maxkeys; do
  (echo 999999 >"/proc/sys/$file") 2>/dev/null && taken="$taken $file"
done
[ -n "$taken" ] && contained "the sandbox's own:$taken"
denied "none can be raised"
