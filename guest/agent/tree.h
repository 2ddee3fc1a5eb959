/* Whole folders as one stream: for each entry an ENTRY frame, for a file then exactly its size in DATA. */
#pragma once
#include "job.h"

bool tree_read(struct job *);
bool tree_write(struct job *);
