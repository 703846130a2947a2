#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

void openField(Field *field, const Settings *settings) {
    bool isFanIn = strcmp(settings->mode, "fanin") == 0;
    bool isPersistent = strcmp(settings->mode, "persistent") == 0;
    bool isFanOut = strcmp(settings->mode, "fanout") == 0;
    int senders = isFanOut ? 1 : settings->clients;
    int receivers = isFanIn ? 1 : isPersistent ? 0 : settings->clients;
    field->count = senders + receivers;
    field->senders = senders;
    field->fan = isFanOut ? receivers : 1;
    field->connections = calloc((size_t)field->count, sizeof(Connection));
    field->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (field->connections == NULL || field->epoll < 0) fail("out of memory or descriptors");
    char name[64];
    for (int index = 0; index < field->count; index++) {
        Connection *connection = &field->connections[index];
        snprintf(name, sizeof name, "load-%d-%d", (int)getpid(), index);
        openConnection(connection, settings->host, settings->port, name, true);
        // Senders come first in the array; the receiver of a pair has the same topic.
        if (index >= senders) {
            int topic = isFanOut ? 0 : index - senders;
            if (isFanIn) {
                snprintf(name, sizeof name, "bench/%d/+", (int)getpid());
            } else {
                snprintf(name, sizeof name, "bench/%d/%d", (int)getpid(), topic);
            }
            subscribeTo(connection, name, settings->qos);
        }
    }
    for (int index = 0; index < field->count; index++) {
        Connection *connection = &field->connections[index];
        if (index < senders) {
            snprintf(name, sizeof name, "bench/%d/%d", (int)getpid(), index);
            preparePublish(connection, name, settings->qos, settings->payloadBytes);
            if (senders == receivers) connection->peer = &field->connections[senders + index];
        }
        makeNonBlocking(connection);
        // Level-triggered, one read a turn, so that all receivers keep moving. Writers are tried again each turn.
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (epoll_ctl(field->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0) fail("epoll: %s", strerror(errno));
    }
}

void closeField(Field *field) {
    for (int index = 0; index < field->count; index++) closeConnection(&field->connections[index]);
    close(field->epoll);
    free(field->connections);
}
