#include "throughput.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum {
    EVENTS_MAX = 256,
    // No delivery for so long, with messages on their way: they are lost, and the window starts anew.
    STALL_MILLISECONDS = 500,
};

void countPacket(void *context, Connection *connection, PacketKind kind, const uint8_t *payload) {
    (void)connection;
    (void)payload;
    Count *counts = context;
    if (kind == PACKET_PUBLISH) {
        counts->delivered++;
    } else {
        counts->acknowledged++;
    }
    counts->hasProgress = true;
}

double processorSeconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

// What of the messages sent is still on its way, as the slower of receiver and acknowledgements has it.
static uint64_t onTheirWay(const Settings *settings, uint64_t sent, uint64_t delivered, uint64_t acknowledged) {
    uint64_t done = delivered;
    if (settings->qos > 0 && acknowledged < done) done = acknowledged;
    return sent > done ? sent - done : 0;
}

// Sends while the window has room: an equal share to each sender, so that a turn is one write to each.
static void fillWindow(Field *field, const Settings *settings, Count *counts, int *cursor) {
    long deliveries = (long)(counts->sent * (uint64_t)field->fan - counts->delivered - counts->lost);
    long room = (settings->window - deliveries) / field->fan;
    if (settings->qos > 0) {
        long unacknowledged = (long)(counts->sent - counts->acknowledged);
        if (settings->window - unacknowledged < room) room = settings->window - unacknowledged;
    }
    // Wait for a quarter of the window, or every delivery would bring a write of one message.
    if (room * field->fan * 4 < settings->window && room < settings->window / field->fan) return;
    size_t share = (size_t)((room + field->senders - 1) / field->senders);
    for (int index = 0; index < field->senders && room > 0; index++) {
        Connection *sender = &field->connections[*cursor];
        *cursor = (*cursor + 1) % field->senders;
        if (sender->outputLength > 0 && !flushOutput(sender)) continue;
        size_t sent = queuePublish(sender, share < (size_t)room ? share : (size_t)room, settings->qos);
        counts->sent += sent;
        room -= (long)sent;
        flushOutput(sender);
    }
}

// Sends what each sender may have on its way; as above, not before a quarter of it is free.
static void fillSenders(Field *field, const Settings *settings, Count *counts) {
    for (int index = 0; index < field->senders; index++) {
        Connection *sender = &field->connections[index];
        if (sender->outputLength > 0 && !flushOutput(sender)) continue;
        uint64_t delivered = sender->peer != NULL ? sender->peer->delivered : sender->acknowledged;
        long room = settings->inflight - (long)onTheirWay(settings, sender->sent, delivered, sender->acknowledged);
        if (room <= 0 || room * 4 < settings->inflight) continue;
        counts->sent += queuePublish(sender, (size_t)room, settings->qos);
        flushOutput(sender);
    }
}

// What did not come is lost. Acknowledgements are waited for: a broker that is slow to give them has lost nothing.
static void giveUpWaiting(Field *field, Count *counts) {
    counts->lost = counts->sent * (uint64_t)field->fan - counts->delivered;
    for (int index = 0; index < field->senders; index++) {
        Connection *sender = &field->connections[index];
        if (sender->peer != NULL) sender->peer->delivered = sender->sent;
    }
}

void runUntil(Field *field, const Settings *settings, Count *counts, int *cursor, uint64_t end) {
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = nowNanoseconds();
    counts->lastProgress = now;
    while (now < end) {
        if (settings->inflight > 0) {
            fillSenders(field, settings, counts);
        } else {
            fillWindow(field, settings, counts, cursor);
        }
        int ready = epoll_wait(field->epoll, events, EVENTS_MAX, 1);
        for (int index = 0; index < ready; index++) {
            Connection *connection = events[index].data.ptr;
            receiveInput(connection, countPacket, counts);
            if (!connection->isSender) flushOutput(connection);
        }
        for (int index = 0; ready == 0 && index < field->count; index++) flushOutput(&field->connections[index]);
        now = nowNanoseconds();
        if (counts->hasProgress) {
            counts->hasProgress = false;
            counts->lastProgress = now;
        } else if (now - counts->lastProgress > STALL_MILLISECONDS * 1000000ull) {
            giveUpWaiting(field, counts);
            counts->lastProgress = now;
        }
    }
}

void runThroughput(const Settings *settings) {
    Field field;
    openField(&field, settings);
    Count counts = {0};
    int cursor = 0;
    runUntil(&field, settings, &counts, &cursor, nowNanoseconds() + (uint64_t)(settings->warmupSeconds * 1e9));
    for (int round = 0; round < settings->rounds; round++) {
        uint64_t deliveredBefore = counts.delivered;
        uint64_t lostBefore = counts.lost;
        double processorBefore = processorSeconds();
        uint64_t start = nowNanoseconds();
        runUntil(&field, settings, &counts, &cursor, start + (uint64_t)(settings->seconds * 1e9));
        double seconds = (double)(nowNanoseconds() - start) / 1e9;
        printf(
            "mode=%s clients=%d payload=%zu window=%ld inflight=%ld qos=%d seconds=%.2f rate=%.0f lost=%llu busy=%.2f "
            "total=%llu\n",
            settings->mode, settings->clients, settings->payloadBytes, settings->inflight > 0 ? 0 : settings->window,
            settings->inflight, settings->qos, seconds, (double)(counts.delivered - deliveredBefore) / seconds,
            (unsigned long long)(counts.lost - lostBefore), (processorSeconds() - processorBefore) / seconds,
            (unsigned long long)counts.delivered);
        fflush(stdout);
    }
    closeField(&field);
}
