// One MQTT 3.1.1 connection on a raw socket: blocking while it is set up, then non-blocking.
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INPUT_BYTES = 256 * 1024,
    OUTPUT_BYTES = 256 * 1024,
    PAYLOAD_BYTES_MAX = 64 * 1024,
};

typedef struct Connection {
    int fd;
    // Bytes that were read and not yet looked at.
    uint8_t *input;
    size_t inputLength;
    // Bytes to write, from outputOffset to outputLength.
    uint8_t *output;
    size_t outputOffset;
    size_t outputLength;
    // One PUBLISH as it is sent, and where its packet identifier and payload are.
    uint8_t *publish;
    size_t publishLength;
    size_t packetIDOffset;
    size_t payloadOffset;
    uint16_t nextPacketID;
    bool isSender;
    // What it has sent, what of that was acknowledged, and what it was given.
    uint64_t sent;
    uint64_t acknowledged;
    uint64_t delivered;
    // The receiver of a sender's messages, where it has one of its own.
    struct Connection *peer;
} Connection;

// What a packet was, for whoever counts.
typedef enum { PACKET_PUBLISH, PACKET_PUBACK } PacketKind;
typedef void (*PacketHandler)(void *context, Connection *connection, PacketKind kind, const uint8_t *payload);

// Nanoseconds of the monotonic clock.
uint64_t nowNanoseconds(void);

// Ends the process with a message.
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Connects, or returns -1.
int tryConnect(const char *host, int port);

// Connects and waits for CONNACK, with a clean session or with one that is kept.
void openConnection(Connection *connection, const char *host, int port, const char *clientID, bool clean);

// Says goodbye and frees what the connection holds.
void closeConnection(Connection *connection);

// Subscribes and waits for SUBACK.
void subscribeTo(Connection *connection, const char *filter, int qos);

// Prepares the PUBLISH that the connection sends.
void preparePublish(Connection *connection, const char *topic, int qos, size_t payloadBytes);

void makeNonBlocking(Connection *connection);

// Appends up to `count` PUBLISH packets to the output. Returns how many fitted.
size_t queuePublish(Connection *connection, size_t count, int qos);

// Writes what the socket takes. Returns whether all is written.
bool flushOutput(Connection *connection);

// Reads once, and gives each PUBLISH and PUBACK to the handler. PUBLISH of QoS 1 is answered in the output.
void receiveInput(Connection *connection, PacketHandler handler, void *context);

#endif
