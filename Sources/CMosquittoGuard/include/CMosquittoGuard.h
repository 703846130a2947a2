#ifndef CAUSEWAY_CMOSQUITTOGUARD_H
#define CAUSEWAY_CMOSQUITTOGUARD_H
#include <stdbool.h>
#include <stdint.h>

// libmosquitto 2.0.11, as Debian builds it, ends the whole process when a server sends it a property that MQTT 5.0 does
// not know: it writes a log line without a client, which its own assertion forbids. Linking this target makes that log
// line a line not written, and nothing else. See ADR 0014 and guard.c.

// Whether the library's assertions come here: the linker has exported our function, and nobody stands before it.
bool cw_mosquitto_guard_stands(void);

// How many log lines without a client were skipped in this process. Any thread.
uint64_t cw_mosquitto_guard_count(void);
#endif
