// broker-load: drives an MQTT broker and counts what arrives.
#include "load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const usage =
    "usage: broker-load MODE HOST PORT [options]\n"
    "  pairs    each of N publishers has a subscriber of its own\n"
    "  fanin    N publishers, one subscriber\n"
    "  fanout   one publisher, N subscribers\n"
    "  persistent  N publishers at QoS 1 into a session whose client is away; counts acknowledgements\n"
    "  latency  pairs at a fixed rate; p50, p99, p999 and the largest in microseconds\n"
    "  wait     until the broker accepts connections, at most 30 seconds\n"
    "broker-load free-port prints a free port of 127.0.0.1\n"
    "  --clients N (50)   --payload BYTES (64)   --window DELIVERIES (10000)   --seconds S (3)\n"
    "  --warmup S (1)     --rounds N (1)         --rate MESSAGES (20000)       --qos 0|1 (0)\n"
    "  --inflight N: messages on their way from each publisher, instead of the window\n";

static _Noreturn void explain(void) {
    fputs(usage, stderr);
    exit(64);
}

static double number(const char *text, double smallest, double largest) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || value < smallest || value > largest) {
        fail("%s is not a number between %g and %g", text, smallest, largest);
    }
    return value;
}

static void printFreePort(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0
        || getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        fail("no free port");
    }
    printf("%d\n", ntohs(address.sin_port));
    close(fd);
}

static void waitForBroker(const Settings *settings) {
    uint64_t deadline = nowNanoseconds() + 30000000000ull;
    while (nowNanoseconds() < deadline) {
        int fd = tryConnect(settings->host, settings->port);
        if (fd >= 0) {
            close(fd);
            Connection connection;
            openConnection(&connection, settings->host, settings->port, "load-wait", true);
            closeConnection(&connection);
            return;
        }
        usleep(20000);
    }
    fail("no broker at %s:%d", settings->host, settings->port);
}

static void parseOptions(Settings *settings, int count, char **words) {
    for (int index = 0; index < count; index += 2) {
        const char *name = words[index];
        if (index + 1 == count) explain();
        const char *value = words[index + 1];
        if (strcmp(name, "--clients") == 0) {
            settings->clients = (int)number(value, 1, 10000);
        } else if (strcmp(name, "--payload") == 0) {
            settings->payloadBytes = (size_t)number(value, 0, PAYLOAD_BYTES_MAX);
        } else if (strcmp(name, "--window") == 0) {
            settings->window = (long)number(value, 1, 10000000);
        } else if (strcmp(name, "--inflight") == 0) {
            settings->inflight = (long)number(value, 1, 65535);
        } else if (strcmp(name, "--seconds") == 0) {
            settings->seconds = number(value, 0.1, 3600);
        } else if (strcmp(name, "--warmup") == 0) {
            settings->warmupSeconds = number(value, 0, 600);
        } else if (strcmp(name, "--rounds") == 0) {
            settings->rounds = (int)number(value, 1, 1000);
        } else if (strcmp(name, "--rate") == 0) {
            settings->rate = number(value, 1, 10000000);
        } else if (strcmp(name, "--qos") == 0) {
            settings->qos = (int)number(value, 0, 1);
        } else {
            explain();
        }
    }
}

int main(int count, char **words) {
    if (count == 2 && strcmp(words[1], "free-port") == 0) {
        printFreePort();
        return 0;
    }
    if (count < 4) explain();
    signal(SIGPIPE, SIG_IGN);
    Settings settings = {
        .mode = words[1],
        .host = words[2],
        .port = (int)number(words[3], 1, 65535),
        .clients = 50,
        .payloadBytes = 64,
        .window = 10000,
        .seconds = 3,
        .warmupSeconds = 1,
        .rounds = 1,
        .rate = 20000,
    };
    parseOptions(&settings, count - 4, words + 4);
    const char *mode = settings.mode;
    if (strcmp(mode, "wait") == 0) {
        waitForBroker(&settings);
    } else if (strcmp(mode, "latency") == 0) {
        runLatency(&settings);
    } else if (strcmp(mode, "persistent") == 0) {
        settings.qos = 1;
        runPersistent(&settings);
    } else if (strcmp(mode, "pairs") == 0 || strcmp(mode, "fanin") == 0 || strcmp(mode, "fanout") == 0) {
        if (settings.inflight > 0 && strcmp(mode, "pairs") != 0) fail("--inflight is for pairs and persistent");
        // Each message of a fan-out takes one place in the window for each subscriber.
        if (strcmp(mode, "fanout") == 0 && settings.window < settings.clients) settings.window = settings.clients;
        runThroughput(&settings);
    } else {
        explain();
    }
    return 0;
}
