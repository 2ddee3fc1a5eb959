#include "requests.h"

#include "activity.h"
#include "dial.h"
#include "files.h"
#include "job.h"
#include "memory.h"
#include "process.h"
#include "renew.h"
#include "tree.h"
#include "watch.h"

static void (*const direct[256])(struct request *) = {
    [FRAME_SPAWN] = process_spawn,
    [FRAME_ATTACH] = process_attach,
    [FRAME_PROCESSES] = process_list,
    [FRAME_STDIN] = process_stdin,
    [FRAME_SIGNAL] = process_signal,
    [FRAME_RESIZE] = process_resize,
    [FRAME_OOM_KILL] = memory_oom_kill,
    [FRAME_STATS] = memory_stats,
    [FRAME_DIAL] = dial_open,
    [FRAME_ACTIVITY] = activity_tell,
    [FRAME_RENEW] = renew_tell,
};

static const struct {
    enum job_class class;
    bool (*run)(struct job *);
} jobs[256] = {
    [FRAME_STAT] = {JOB_SHORT, files_stat},
    [FRAME_LIST] = {JOB_DOWNLOAD, files_list},
    [FRAME_READ] = {JOB_DOWNLOAD, files_read},
    [FRAME_WRITE] = {JOB_UPLOAD, files_write},
    [FRAME_MKDIR] = {JOB_SHORT, files_mkdir},
    [FRAME_MOVE] = {JOB_SHORT, files_move},
    [FRAME_COPY] = {JOB_SHORT, files_copy},
    [FRAME_REMOVE] = {JOB_SHORT, files_remove},
    [FRAME_CHMOD] = {JOB_SHORT, files_chmod},
    [FRAME_CHOWN] = {JOB_SHORT, files_chown},
    [FRAME_WATCH] = {JOB_WATCH, watch_run},
    [FRAME_READ_TREE] = {JOB_DOWNLOAD, tree_read},
    [FRAME_WRITE_TREE] = {JOB_UPLOAD, tree_write},
};

bool request_handle(struct request *request) {
    if (direct[request->type]) direct[request->type](request);
    else if (jobs[request->type].run) job_start(request, jobs[request->type].class, jobs[request->type].run);
    else return false;
    return true;
}
