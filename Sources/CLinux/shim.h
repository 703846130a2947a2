#ifndef CAUSEWAY_CLINUX_H
#define CAUSEWAY_CLINUX_H

// Calls of Linux that Swift's own modules for the C libraries leave out. No feature macros here: with them the headers
// would define types otherwise than Swift's module of the C library does.
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/timex.h>
#include <sys/vfs.h>

// A descriptor that is readable while one of the signals, which are blocked, waits; -1 and errno if there is none.
static inline int cw_signal_descriptor(const sigset_t *set) {
    return signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
}

#endif
