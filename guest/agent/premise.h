/* What a host supposes of a guest whose files it does not want to read: whether it is so. */
#pragma once
#include <stdbool.h>

/* Pairs, ended by NULL: "$NAME" and the value that it has in `environment`; a path and the SHA-256 of the file there, in
 * lower-case hex, or "" where nothing may be; a folder, a star and an ending, and "" where no name in the folder may end
 * so. Allocates nothing: it may run in a child on the agent's memory. */
bool premises_hold(char **premises, char **environment);
