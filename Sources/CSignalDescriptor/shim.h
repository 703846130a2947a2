#ifndef CAUSEWAY_CSIGNALDESCRIPTOR_SHIM_H
#define CAUSEWAY_CSIGNALDESCRIPTOR_SHIM_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <signal.h>
#include <sys/signalfd.h>

// What Swift's Glibc module does not have: a descriptor that is readable while one of the blocked signals waits.
static inline int cw_signal_descriptor(const sigset_t *set) {
    return signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
}
#endif
