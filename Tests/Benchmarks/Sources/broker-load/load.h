// The settings of one run, and the ways to run.
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>

#include "connection.h"

typedef struct {
    const char *mode;
    const char *host;
    int port;
    // Publishers in fan-in, subscribers in fan-out, pairs otherwise.
    int clients;
    size_t payloadBytes;
    // Deliveries that may be on their way, over all connections.
    long window;
    // Messages that may be on their way from one sender, instead of the window; 0: the window counts.
    long inflight;
    double seconds;
    double warmupSeconds;
    int rounds;
    int qos;
    // Messages each second over all senders, in the latency mode.
    double rate;
} Settings;

// The connections of a run, connected and subscribed.
typedef struct {
    Connection *connections;
    int count;
    int senders;
    // Deliveries that one message makes.
    int fan;
    int epoll;
} Field;

void openField(Field *field, const Settings *settings);
void closeField(Field *field);

// As fast as it goes: prints deliveries per second of each round.
void runThroughput(const Settings *settings);

// QoS 1 into a session whose client is away: prints acknowledgements per second, then fetches what was kept and counts
// what is missing.
void runPersistent(const Settings *settings);

// At a fixed rate: prints the latency from the moment a message was due to its delivery.
void runLatency(const Settings *settings);

#endif
