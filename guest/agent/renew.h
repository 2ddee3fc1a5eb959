/* What a sandbox is told after its memory came back from a snapshot: that it is another one now, or a later one. */
#pragma once
#include "conn.h"

/* Puts the generation where programs can watch it: 0, as nothing was restored yet. */
void renew_open(void);
void renew_tell(struct request *);
