#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    EVENTS_MAX = 256,
    // Messages that did not come so long after the last one was sent are lost.
    PATIENCE_SECONDS = 2,
};

typedef struct {
    uint64_t measuredFrom;
    uint32_t *microseconds;
    size_t count;
    size_t capacity;
    uint64_t delivered;
} Samples;

static void sample(void *context, Connection *connection, PacketKind kind, const uint8_t *payload) {
    (void)connection;
    Samples *samples = context;
    if (kind != PACKET_PUBLISH || payload == NULL) return;
    uint64_t due;
    memcpy(&due, payload, sizeof due);
    samples->delivered++;
    if (due < samples->measuredFrom || samples->count == samples->capacity) return;
    // Tenths of a microsecond, so that a 32-bit number lasts seven minutes.
    samples->microseconds[samples->count++] = (uint32_t)((nowNanoseconds() - due) / 100);
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static double percentile(const Samples *samples, double part) {
    if (samples->count == 0) return 0;
    size_t index = (size_t)(part * (double)(samples->count - 1));
    return samples->microseconds[index] / 10.0;
}

static void receiveTurn(Field *field, Samples *samples) {
    struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(field->epoll, events, EVENTS_MAX, 0);
    for (int index = 0; index < ready; index++) {
        Connection *connection = events[index].data.ptr;
        receiveInput(connection, sample, samples);
        flushOutput(connection);
    }
}

void runLatency(const Settings *settings) {
    if (settings->payloadBytes < 8) fail("the latency mode needs a payload of at least 8 bytes");
    Field field;
    openField(&field, settings);
    double seconds = settings->seconds * settings->rounds;
    Samples samples = {.capacity = (size_t)(seconds * settings->rate) + 1};
    samples.microseconds = calloc(samples.capacity, sizeof(uint32_t));
    if (samples.microseconds == NULL) fail("out of memory");
    uint64_t start = nowNanoseconds();
    samples.measuredFrom = start + (uint64_t)(settings->warmupSeconds * 1e9);
    uint64_t end = samples.measuredFrom + (uint64_t)(seconds * 1e9);
    double interval = 1e9 / settings->rate;
    uint64_t sent = 0;
    int sender = 0;
    // The generator has a core of its own: it polls, so that a message leaves when it is due and is seen when it comes.
    // What was due before the end is sent after it, if we did not get to it: a message left out would hide its wait.
    for (uint64_t now = start, due = start; now < end || due < end; now = nowNanoseconds()) {
        if (now >= due) {
            Connection *connection = &field.connections[sender];
            sender = (sender + 1) % field.senders;
            // The time it was due, not the time it left: what waits in our own queue counts as well.
            memcpy(connection->publish + connection->payloadOffset, &due, sizeof due);
            if (queuePublish(connection, 1, settings->qos) == 0) fail("the broker does not keep up with the rate");
            flushOutput(connection);
            sent++;
            due = start + (uint64_t)((double)sent * interval);
        }
        receiveTurn(&field, &samples);
    }
    uint64_t patience = nowNanoseconds() + PATIENCE_SECONDS * 1000000000ull;
    while (samples.delivered < sent && nowNanoseconds() < patience) {
        for (int index = 0; index < field.senders; index++) flushOutput(&field.connections[index]);
        receiveTurn(&field, &samples);
    }
    qsort(samples.microseconds, samples.count, sizeof(uint32_t), ascending);
    printf(
        "mode=latency clients=%d payload=%zu qos=%d rate=%.0f seconds=%.2f p50=%.1f p99=%.1f p999=%.1f max=%.1f "
        "lost=%llu\n",
        settings->clients, settings->payloadBytes, settings->qos, settings->rate, seconds, percentile(&samples, 0.5),
        percentile(&samples, 0.99), percentile(&samples, 0.999), percentile(&samples, 1),
        (unsigned long long)(sent - samples.delivered));
    free(samples.microseconds);
    closeField(&field);
}
