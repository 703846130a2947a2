#define _GNU_SOURCE
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t nowNanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("broker-load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

int tryConnect(const char *host, int port) {
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    if (getaddrinfo(host, service, &hints, &addresses) != 0) return -1;
    int fd = -1;
    for (struct addrinfo *address = addresses; address != NULL && fd < 0; address = address->ai_next) {
        fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
        if (fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(addresses);
    return fd;
}

static void writeAll(int fd, const uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = send(fd, bytes, count, MSG_NOSIGNAL);
        if (written < 0) {
            if (errno == EINTR) continue;
            fail("cannot write: %s", strerror(errno));
        }
        bytes += written;
        count -= (size_t)written;
    }
}

static void readAll(int fd, uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t got = recv(fd, bytes, count, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) fail("the broker closed the connection or does not answer");
        bytes += got;
        count -= (size_t)got;
    }
}

static size_t putLength(uint8_t *target, size_t length) {
    size_t count = 0;
    do {
        uint8_t byte = length & 0x7F;
        length >>= 7;
        target[count++] = length > 0 ? byte | 0x80 : byte;
    } while (length > 0);
    return count;
}

static size_t putText(uint8_t *target, const char *text) {
    size_t length = strlen(text);
    target[0] = (uint8_t)(length >> 8);
    target[1] = (uint8_t)length;
    memcpy(target + 2, text, length);
    return 2 + length;
}

void openConnection(Connection *connection, const char *host, int port, const char *clientID, bool clean) {
    memset(connection, 0, sizeof *connection);
    connection->fd = tryConnect(host, port);
    if (connection->fd < 0) fail("cannot connect to %s:%d", host, port);
    int one = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct timeval patience = {.tv_sec = 10};
    setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connection->input = malloc(INPUT_BYTES);
    connection->output = malloc(OUTPUT_BYTES);
    if (connection->input == NULL || connection->output == NULL) fail("out of memory");
    connection->nextPacketID = 1;
    uint8_t packet[128];
    size_t body = 10 + 2 + strlen(clientID);
    if (body > 100) fail("the client identifier is too long");
    size_t length = 0;
    packet[length++] = 0x10;
    packet[length++] = (uint8_t)body;
    length += putText(packet + length, "MQTT");
    packet[length++] = 4;
    packet[length++] = clean ? 0x02 : 0;
    packet[length++] = 0;
    packet[length++] = 0;
    length += putText(packet + length, clientID);
    writeAll(connection->fd, packet, length);
    uint8_t answer[4];
    readAll(connection->fd, answer, sizeof answer);
    if (answer[0] != 0x20 || answer[3] != 0) fail("the broker refused the connection (%u)", answer[3]);
}

void closeConnection(Connection *connection) {
    static const uint8_t disconnect[2] = {0xE0, 0};
    // A courtesy; the connection is closed either way.
    if (send(connection->fd, disconnect, sizeof disconnect, MSG_NOSIGNAL) < 0) { /* closed all the same */ }
    close(connection->fd);
    free(connection->input);
    free(connection->output);
    free(connection->publish);
}

void subscribeTo(Connection *connection, const char *filter, int qos) {
    uint8_t packet[128];
    size_t length = 0;
    packet[length++] = 0x82;
    packet[length++] = (uint8_t)(2 + 2 + strlen(filter) + 1);
    packet[length++] = 0;
    packet[length++] = 1;
    length += putText(packet + length, filter);
    packet[length++] = (uint8_t)qos;
    writeAll(connection->fd, packet, length);
    uint8_t answer[5];
    readAll(connection->fd, answer, sizeof answer);
    if (answer[0] != 0x90 || answer[4] > 2) fail("the broker refused the subscription (0x%02x)", answer[4]);
}

void preparePublish(Connection *connection, const char *topic, int qos, size_t payloadBytes) {
    size_t body = 2 + strlen(topic) + (qos > 0 ? 2 : 0) + payloadBytes;
    connection->publish = calloc(1, body + 5);
    if (connection->publish == NULL) fail("out of memory");
    size_t length = 0;
    connection->publish[length++] = (uint8_t)(0x30 | qos << 1);
    length += putLength(connection->publish + length, body);
    length += putText(connection->publish + length, topic);
    connection->packetIDOffset = length;
    if (qos > 0) length += 2;
    connection->payloadOffset = length;
    memset(connection->publish + length, 'x', payloadBytes);
    connection->publishLength = length + payloadBytes;
    connection->isSender = true;
    if (connection->publishLength > OUTPUT_BYTES) fail("the payload is too large");
}

void makeNonBlocking(Connection *connection) {
    int flags = fcntl(connection->fd, F_GETFL);
    if (flags < 0 || fcntl(connection->fd, F_SETFL, flags | O_NONBLOCK) != 0) fail("fcntl: %s", strerror(errno));
}

size_t queuePublish(Connection *connection, size_t count, int qos) {
    size_t queued = 0;
    while (queued < count && connection->outputLength + connection->publishLength <= OUTPUT_BYTES) {
        uint8_t *target = connection->output + connection->outputLength;
        memcpy(target, connection->publish, connection->publishLength);
        if (qos > 0) {
            target[connection->packetIDOffset] = (uint8_t)(connection->nextPacketID >> 8);
            target[connection->packetIDOffset + 1] = (uint8_t)connection->nextPacketID;
            if (++connection->nextPacketID == 0) connection->nextPacketID = 1;
        }
        connection->outputLength += connection->publishLength;
        queued++;
    }
    connection->sent += queued;
    return queued;
}

bool flushOutput(Connection *connection) {
    while (connection->outputOffset < connection->outputLength) {
        ssize_t written = send(
            connection->fd, connection->output + connection->outputOffset,
            connection->outputLength - connection->outputOffset, MSG_NOSIGNAL);
        if (written < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
            if (errno == EINTR) continue;
            fail("cannot write: %s", strerror(errno));
        }
        connection->outputOffset += (size_t)written;
    }
    connection->outputOffset = 0;
    connection->outputLength = 0;
    return true;
}

static void answer(Connection *connection, const uint8_t *packetID) {
    if (connection->outputLength + 4 > OUTPUT_BYTES) {
        // Make room: what is written already goes.
        memmove(
            connection->output, connection->output + connection->outputOffset,
            connection->outputLength - connection->outputOffset);
        connection->outputLength -= connection->outputOffset;
        connection->outputOffset = 0;
        if (connection->outputLength + 4 > OUTPUT_BYTES) fail("the broker does not read acknowledgements");
    }
    uint8_t *target = connection->output + connection->outputLength;
    target[0] = 0x40;
    target[1] = 2;
    target[2] = packetID[0];
    target[3] = packetID[1];
    connection->outputLength += 4;
}

void receiveInput(Connection *connection, PacketHandler handler, void *context) {
    ssize_t got = recv(
        connection->fd, connection->input + connection->inputLength, INPUT_BYTES - connection->inputLength, 0);
    if (got == 0) fail("the broker closed a connection");
    if (got < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return;
        fail("cannot read: %s", strerror(errno));
    }
    connection->inputLength += (size_t)got;
    const uint8_t *bytes = connection->input;
    size_t offset = 0;
    while (connection->inputLength - offset >= 2) {
        size_t length = 0;
        size_t header = 1;
        int shift = 0;
        bool complete = false;
        while (offset + header < connection->inputLength && header < 5) {
            uint8_t byte = bytes[offset + header++];
            length |= (size_t)(byte & 0x7F) << shift;
            shift += 7;
            if (byte < 0x80) {
                complete = true;
                break;
            }
        }
        if (!complete || offset + header + length > connection->inputLength) break;
        const uint8_t *body = bytes + offset + header;
        switch (bytes[offset] >> 4) {
        case 3: {
            size_t topicBytes = (size_t)body[0] << 8 | body[1];
            size_t payload = 2 + topicBytes;
            if (bytes[offset] & 0x06) {
                if (payload + 2 > length) fail("the broker sent a bad PUBLISH");
                answer(connection, body + payload);
                payload += 2;
            }
            if (payload > length) fail("the broker sent a bad PUBLISH");
            connection->delivered++;
            handler(context, connection, PACKET_PUBLISH, length - payload >= 8 ? body + payload : NULL);
            break;
        }
        case 4:
            connection->acknowledged++;
            handler(context, connection, PACKET_PUBACK, NULL);
            break;
        case 14:
            fail("the broker sent DISCONNECT");
        default:
            break;
        }
        offset += header + length;
    }
    if (offset == 0 && connection->inputLength == INPUT_BYTES) fail("the broker sent a packet that is too large");
    memmove(connection->input, connection->input + offset, connection->inputLength - offset);
    connection->inputLength -= offset;
}
