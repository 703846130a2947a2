// What a run as fast as it goes counts, and its loop.
#ifndef THROUGHPUT_H
#define THROUGHPUT_H

#include "load.h"

typedef struct {
    uint64_t sent;
    uint64_t delivered;
    uint64_t acknowledged;
    uint64_t lost;
    uint64_t lastProgress;
    bool hasProgress;
} Count;

// Counts a packet into the `Count` that is its context.
void countPacket(void *context, Connection *connection, PacketKind kind, const uint8_t *payload);

// Sends and counts until `end`.
void runUntil(Field *field, const Settings *settings, Count *counts, int *cursor, uint64_t end);

// Processor time of this process so far.
double processorSeconds(void);

#endif
