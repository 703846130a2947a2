#ifndef CAUSEWAY_CCRC32C_H
#define CAUSEWAY_CCRC32C_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli) of `length` bytes, continuing from `crc`. Start with 0. The processor's own instruction is used
/// where it has one (SSE 4.2 or the ARMv8 CRC extension, asked for once at run time), else eight tables.
uint32_t ccrc32c_update(uint32_t crc, const void *data, size_t length);

/// The same by tables only, on every machine. For tests and for machines without the instruction.
uint32_t ccrc32c_update_portable(uint32_t crc, const void *data, size_t length);

/// Which way `ccrc32c_update` takes on this machine: "sse4.2", "armv8-crc" or "tables".
const char *ccrc32c_implementation(void);

/// How many of the first bytes are zero: recovery skips what a preallocated file has not used yet at memory speed.
size_t ccrc32c_zero_prefix(const void *data, size_t length);

#endif
