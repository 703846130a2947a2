#ifndef CAUSEWAY_CLINUX_H
#define CAUSEWAY_CLINUX_H

// Calls of Linux that Swift's own modules for the C libraries leave out.
#include <sys/timex.h>
#include <sys/vfs.h>

#endif
