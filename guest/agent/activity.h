/* What keeps the guest awake: the host lets a guest stand still that has nothing to run. docs/idle.md */
#pragma once
#include "conn.h"

void activity_tell(struct request *);
