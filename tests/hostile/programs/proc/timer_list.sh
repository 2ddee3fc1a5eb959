# tries: Watch what the whole host does: timer_list, sched_debug, interrupts, latency_stats, lock and page statistics.
# user: root
# gvisor: denied
# container: denied
. ./verdict.sh
for file in timer_list sched_debug interrupts softirqs latency_stats lock_stat locks zoneinfo buddyinfo pagetypeinfo \
  schedstat key-users keys; do
  size=$(cat "/proc/$file" 2>/dev/null | wc -c)
  [ "$size" -gt 0 ] && shown="$shown $file($size)"
done
for secret in timer_list sched_debug interrupts softirqs latency_stats keys key-users buddyinfo pagetypeinfo; do
  case "$shown" in *" $secret("*) escaped "shown:$shown" ;; esac
done
denied "what tells of others is covered; shown are${shown:- none}"
