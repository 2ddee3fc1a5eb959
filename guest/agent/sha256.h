/* SHA-256, as FIPS 180-4 has it. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { SHA256_SIZE = 32 };

void sha256(const void *data, size_t length, uint8_t digest[SHA256_SIZE]);
