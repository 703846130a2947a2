#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "throughput.h"

enum {
    // Acknowledgements, or kept messages, that did not come so long after the last one do not come any more.
    PATIENCE_MILLISECONDS = 3000,
};

static void openKeeper(Connection *keeper, const Settings *settings, bool clean) {
    char name[64];
    snprintf(name, sizeof name, "load-%d-keeper", (int)getpid());
    openConnection(keeper, settings->host, settings->port, name, clean);
}

// Fetches what the broker kept, up to `expected` messages; returns how many there were.
static uint64_t fetchKept(const Settings *settings, uint64_t expected) {
    Connection keeper;
    openKeeper(&keeper, settings, false);
    makeNonBlocking(&keeper);
    Count kept = {0};
    struct pollfd readable = {.fd = keeper.fd, .events = POLLIN};
    while (kept.delivered < expected && poll(&readable, 1, PATIENCE_MILLISECONDS) > 0) {
        receiveInput(&keeper, countPacket, &kept);
        flushOutput(&keeper);
    }
    closeConnection(&keeper);
    return kept.delivered;
}

void runPersistent(const Settings *settings) {
    Connection keeper;
    char filter[64];
    snprintf(filter, sizeof filter, "bench/%d/+", (int)getpid());
    openKeeper(&keeper, settings, false);
    subscribeTo(&keeper, filter, 1);
    closeConnection(&keeper);

    Field field;
    openField(&field, settings);
    Settings each = *settings;
    if (each.inflight == 0) each.inflight = 20;
    Count counts = {0};
    int cursor = 0;
    runUntil(&field, &each, &counts, &cursor, nowNanoseconds() + (uint64_t)(each.warmupSeconds * 1e9));
    uint64_t before = counts.acknowledged;
    double processorBefore = processorSeconds();
    uint64_t start = nowNanoseconds();
    runUntil(&field, &each, &counts, &cursor, start + (uint64_t)(each.seconds * each.rounds * 1e9));
    double seconds = (double)(nowNanoseconds() - start) / 1e9;
    double rate = (double)(counts.acknowledged - before) / seconds;
    double busy = (processorSeconds() - processorBefore) / seconds;
    uint64_t acknowledged = counts.acknowledged;
    closeField(&field);

    // What was on its way at the end may have been kept as well: only what was acknowledged has to be there.
    uint64_t kept = fetchKept(settings, acknowledged);
    openKeeper(&keeper, settings, true);
    closeConnection(&keeper);
    printf(
        "mode=persistent clients=%d payload=%zu inflight=%ld qos=1 seconds=%.2f rate=%.0f acknowledged=%llu lost=%llu "
        "busy=%.2f\n",
        settings->clients, settings->payloadBytes, each.inflight, seconds, rate, (unsigned long long)acknowledged,
        (unsigned long long)(acknowledged > kept ? acknowledged - kept : 0), busy);
}
