/* The limit: the least that a server of these frames can do in one thread. No JSON, no sessions, no deadlines.

   It tells the messages apart by the digit of their opcode, answers a heartbeat, and gives an event to all others with
   one write per client for all the events of one reading. Nothing that does real work can be faster per write. */

#include "wire.h"

struct client {
    struct stream io;
    int upgraded, hears, place;
};

static struct client **all;
static int count, room, poller;
static unsigned char out[1 << 17];
static size_t out_size;

static void put(struct client *c, const void *data, size_t length) { give(&c->io, data, length); }

static void say(struct client *c, const char *text) {
    unsigned char made[256];
    put(c, made, frame(made, TEXT, text, strlen(text), 0));
}

static void leave(struct client *c) {
    close(c->io.fd);
    all[c->place] = all[--count];
    all[c->place]->place = c->place;
    free(c->io.rest);
    free(c);
}

static void on_text(struct client *c, unsigned char *text, size_t length, const unsigned char *mask) {
    for (size_t i = 0; i < length; i++) text[i] ^= mask[i & 3];
    switch (length > 6 ? text[6] : 0) { // {"op":N
    case '0':
        c->hears = memmem(text, length, "sharder", 7) == NULL;
        say(c, "{\"op\":2,\"t\":\"IDENTIFIED\",\"d\":{}}");
        break;
    case '1': say(c, "{\"op\":4,\"d\":{}}"); break;
    case '2':
        if (out_size + length + 10 < sizeof out) out_size += frame(out + out_size, TEXT, text, length, 0);
    }
}

static void readable(struct client *c) {
    ssize_t have = fill(&c->io);
    if (have < 0) return;
    if (have == 0) return leave(c);
    unsigned char *at = inbox, *end = inbox + have;
    if (!c->upgraded) {
        unsigned char *stop = memmem(at, have, "\r\n\r\n", 4);
        if (!stop) return keep(&c->io, at, have);
        static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                     "Connection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n";
        put(c, answer, sizeof answer - 1);
        say(c, "{\"op\":3,\"d\":{\"heartbeatInterval\":600000}}");
        c->upgraded = 1, at = stop + 4;
    }
    size_t head, body, size;
    while ((size = parse(at, end - at, &head, &body))) {
        if ((at[0] & 15) == CLOSE) return leave(c);
        if ((at[0] & 15) == TEXT) on_text(c, at + head, body, at + head - 4);
        at += size;
    }
    keep(&c->io, at, end - at);
    for (int i = 0; out_size && i < count; i++)
        if (all[i]->hears) put(all[i], out, out_size);
    out_size = 0;
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "limit PORT\n"), 2;
    raise_files();
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
    int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    set(door, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(door, (struct sockaddr *)&here, sizeof here) || listen(door, 4096)) die("bind");
    poller = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, came[1024];
    epoll_ctl(poller, EPOLL_CTL_ADD, door, &e);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(poller, came, 1024, -1);
        for (int i = 0; i < n; i++) {
            if (came[i].data.ptr) {
                readable(came[i].data.ptr);
                continue;
            }
            int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0) continue;
            set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
            if (count == room) all = realloc(all, (room = room * 2 + 1024) * sizeof *all);
            struct client *c = all[count] = calloc(1, sizeof *c);
            c->io.fd = fd, c->place = count++;
            struct epoll_event in = {.events = EPOLLIN, .data.ptr = c};
            epoll_ctl(poller, EPOLL_CTL_ADD, fd, &in);
        }
    }
}
