/* Which room answers which request. */
#pragma once
#include "conn.h"

/* False when no request has this type. */
bool request_handle(struct request *request);
