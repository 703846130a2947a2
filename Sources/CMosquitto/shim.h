#ifndef CAUSEWAY_CMOSQUITTO_SHIM_H
#define CAUSEWAY_CMOSQUITTO_SHIM_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

// What Swift's Glibc module does not have, for the thread on which the library runs.

static inline int cw_eventfd(void) {
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

// Names the calling thread; at most 15 bytes are kept.
static inline void cw_name_thread(const char *name) {
    prctl(PR_SET_NAME, name, 0, 0, 0);
}
#endif
