// Counts the calls of malloc and its relatives that a thread makes. Linked into an executable, it takes their place.
#ifndef ALLOCATION_COUNT_H
#define ALLOCATION_COUNT_H

#include <stdint.h>

// How often the calling thread has asked for memory: malloc, calloc, realloc and their aligned kin.
uint64_t allocation_count(void);

// Whether calls are counted at all: not with a C library other than glibc, nor under a sanitizer, which counts itself.
int allocation_count_works(void);

#endif
