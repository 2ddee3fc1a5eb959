# tries: Slow the host down: drop its caches, compact its memory, lower its watermarks.
# user: root
# gvisor: denied
# container: denied
BEGIN {
    split("vm/drop_caches vm/compact_memory vm/min_free_kbytes vm/swappiness vm/dirty_ratio kernel/threads-max", names, " ")
    for (i in names) {
        file = "/proc/sys/" names[i]
        if (system("echo 3 2>/dev/null > " file) == 0) taken = taken " " names[i]
    }
    print ""
    if (taken) print "VERDICT escaped written:" taken
    else print "VERDICT denied none can be written"
}
