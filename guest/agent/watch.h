/* Changes below a path, through inotify. */
#pragma once
#include "job.h"

bool watch_run(struct job *);
