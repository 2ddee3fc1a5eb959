/* Connections to ports inside the guest. */
#pragma once
#include "conn.h"

void dial_open(struct request *);
