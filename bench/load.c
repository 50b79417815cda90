/* Load generator: many WebSocket clients in one epoll loop, which cost so little that the server is what is measured.

   load MODE PORT DIALECT CLIENTS SECONDS [burst=N] [size=BYTES] [stalled=N] [period=S] [window=N] [warm=S]
        [compress=NAME] [events=N]

   It connects and identifies, prints a line of JSON, and works off lines on stdin, so that its caller can read the
   server's counters before each of them; it answers each by a line of JSON. `warm` is the work of MODE, shorter, so that
   what is measured next meets a server that has done it before; an empty line is the work.

   fanout, requests, beats: for SECONDS; a fan-out of `events` events at least.
   drain: receives what others publish; the line is the number of events that every client is to get.
   storm: all clients drop and come back to their sessions.
   idle: `drop` closes all connections; the work is that as many new clients connect. */

#include "stats.h"
#include "wire.h"

/* The event of the fan-out; %s makes it longer. */
#define EVENT                                                                                                    \
    "{\"op\":2,\"t\":\"EXECUTE_COMMAND\",\"d\":{\"command\":\"ban\",\"raw\":\"someone -t 5h%s\",\"ids\":"       \
    "{\"message\":\"812345678901234567\",\"author\":\"212345678901234567\",\"channel\":\"312345678901234567\"," \
    "\"guild\":\"412345678901234567\",\"shard\":1}}}"
#define MASK 0x5ac31e97u

struct dialect {
    const char *name, *path, *identify, *ready, *beat;
    int counts; /* a heartbeat says how many events its client has, and is answered */
};
static const struct dialect dialects[] = {
    {"oxyl", "/", "{\"op\":0,\"d\":{\"type\":\"%s\",\"compress\":false,\"secret\":\"bench-secret\"}}", "IDENTIFIED",
     "{\"op\":1,\"d\":{\"heapUsed\":123456789}}"},
    {"utilbot", "/?v=1",
     "{\"op\":1,\"t\":\"identify\",\"d\":{\"type\":\"%s\",\"key\":\"bench-secret\",\"id\":\"bot-%d\"}}",
     "bot_connect_success", "{\"op\":10}"},
    {"rooms", "/gateway?roomId=1&participantId=p%d&token=bench-secret", NULL, NULL, "{\"e\":1,\"d\":{}}"},
    {"discord", "/?v=10&encoding=json",
     "{\"op\":2,\"d\":{\"token\":\"bench-secret\",\"intents\":33281,\"properties\":{}}}", "READY",
     "{\"op\":1,\"d\":%ld}", 1},
};
/* Compressed messages are counted, not read; each of these must end so. */
static const char *compress, flushed[4] = "\x00\x00\xff\xff";

enum state { OFF, SHAKING, UPGRADING, GREETED, IDENTIFYING, READY };
struct client {
    struct stream io;
    enum state state;
    int stalled;
    long got, beaten; /* frames since it is ready, and its heartbeats, each of which is answered by one */
    double began; /* its connect, or its latest request */
};

static struct client *clients;
static const struct dialect *dialect;
static const char *mode;
static int port, count, ready, opening, next, resumed, poller, burst = 1, stalled, window = 256, generation;
static long received, wanted, asked, bytes;
static unsigned char event[1 << 18], beat[256];
static size_t event_size, beat_size;

static int is(const char *name) { return strcmp(mode, name) == 0; }

static void put(struct client *c, const void *data, size_t length) {
    // What is written here is far smaller than a socket's buffer: a partial write means that the server stopped reading.
    if (give(&c->io, data, length) != (ssize_t)length) die("the server does not take what is sent");
}

static void say(struct client *c, int opcode, const char *text, size_t length) {
    unsigned char out[1024];
    put(c, out, frame(out, opcode, text, length, MASK));
}

static void dial(struct client *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) die("socket");
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (c->stalled) set(fd, SOL_SOCKET, SO_RCVBUF, 4096);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) die("connect");
    *c = (struct client){.io = {.fd = fd}, .stalled = c->stalled, .began = now()};
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    opening++;
}

static void upgrade(struct client *c) {
    char path[256], request[1024];
    if (!shake(&c->io)) return;
    int used = snprintf(path, sizeof path, dialect->path, (int)(c - clients));
    if (compress) snprintf(path + used, sizeof path - used, "&compress=%s", compress);
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
                     path, port);
    put(c, request, n);
    c->state = UPGRADING;
}

static void on_connected(struct client *c) {
    int failed = 0;
    socklen_t size = sizeof failed;
    getsockopt(c->io.fd, SOL_SOCKET, SO_ERROR, &failed, &size);
    if ((errno = failed)) die("connect");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->io.fd, &e);
    c->state = SHAKING;
    upgrade(c);
}

static void arrived(struct client *c) {
    c->state = READY;
    ready++, opening--;
    sample(now() - c->began);
    if (c->stalled) epoll_ctl(poller, EPOLL_CTL_DEL, c->io.fd, NULL);
}

static void on_text(struct client *c, const char *text, size_t length) {
    int number = c - clients;
    char out[512];
    if (compress && *compress == 'z' && compress[1] == 'l' && (length < 4 || memcmp(text + length - 4, flushed, 4)))
        die("a message that does not end in a flush");
    switch (c->state) {
    case GREETED:
        if (!dialect->identify) {
            arrived(c);
            break;
        }
        const char *type = *dialect->name == 'u' ? "bot" : number || !(is("fanout")) ? "commands" : "sharder";
        say(c, TEXT, out, snprintf(out, sizeof out, dialect->identify, type, generation * count + number));
        c->state = IDENTIFYING;
        break;
    case IDENTIFYING:
        if (!compress && !memmem(text, length, dialect->ready, strlen(dialect->ready))) {
            fprintf(stderr, "not identified: %.*s\n", (int)length, text);
            exit(1);
        }
        resumed += memmem(text, length, "\"resumed\":true", 14) != NULL;
        arrived(c);
        break;
    default:
        c->got++, received++, bytes += length;
        if (!is("requests") && !is("beats")) break;
        double t = now();
        sample(t - c->began);
        c->began = t;
        if (is("requests")) put(c, beat, beat_size);
    }
}

/* `why` is a close frame's payload: two bytes of the code, and the reason. */
static void lost(struct client *c, const unsigned char *why, int length) {
    if (c->stalled) return;
    int code = length > 1 ? why[0] << 8 | why[1] : 0;
    fprintf(stderr, "the server closed client %d in state %d: %d %.*s\n", (int)(c - clients), c->state, code,
            length > 2 ? length - 2 : 0, why + 2);
    exit(1);
}

static void readable(struct client *c) {
    ssize_t have = fill(&c->io);
    if (have < 0) return;
    if (have == 0) return lost(c, inbox, 0);
    unsigned char *at = inbox, *end = inbox + have;
    if (c->state == UPGRADING) {
        unsigned char *stop = memmem(at, have, "\r\n\r\n", 4);
        if (!stop) return keep(&c->io, at, have);
        if (memcmp(at, "HTTP/1.1 101", 12)) {
            fprintf(stderr, "refused: %.*s\n", (int)have, at);
            exit(1);
        }
        c->state = GREETED;
        at = stop + 4;
    }
    size_t head, body, size;
    while ((size = parse(at, end - at, &head, &body))) {
        int opcode = at[0] & 15;
        if (opcode == (compress ? BINARY : TEXT)) on_text(c, (char *)at + head, body);
        if (opcode == PING) say(c, PONG, (char *)at + head, body);
        if (opcode == CLOSE) return lost(c, at + head, body);
        at += size;
    }
    keep(&c->io, at, end - at);
}

/* One turn of the loop: everything that is readable now is read once. */
static void turn(int patience_ms) {
    static struct epoll_event ready_now[4096];
    static double heard;
    int n = epoll_wait(poller, ready_now, 4096, patience_ms);
    double t = now();
    if (n > 0 || heard == 0 || patience_ms < 1000) heard = t;
    if (t - heard > 30) die("no word from the server for 30 s");
    for (int i = 0; i < n; i++) {
        struct client *c = ready_now[i].data.ptr;
        if (c->state == OFF) on_connected(c);
        else if (c->state == SHAKING) upgrade(c);
        else readable(c);
    }
}

static void connect_all(void) {
    for (next = 0, ready = 0, opening = 0; ready < count;) {
        while (next < count && opening < window) dial(&clients[next++]);
        turn(1000);
    }
}

static void fanout(double seconds, long events) {
    double end = now() + seconds;
    long each = count - 1 - stalled;
    for (double t = now(); t < end || events > 0; events -= burst) {
        wanted += each * burst;
        put(&clients[0], event, event_size);
        while (received < wanted) turn(1000);
        double done = now();
        sample(done - t);
        t = done;
    }
    for (int i = 1; i < count; i++)
        if (!clients[i].stalled && clients[i].got * each != wanted) die("a client that reads lost an event");
}

static void requests(double seconds) {
    double end = now() + seconds;
    // The requests that are under way when the time is over are answered in the next phase, or never asked after.
    for (int i = 0; i < count; i++) {
        clients[i].began = now();
        if (!clients[i].got) put(&clients[i], beat, beat_size);
    }
    while (now() < end) turn(1000);
}

/* A steady stream of heartbeats, every client's once a period; it ends when the last one is answered. */
static void beats(double seconds, double period) {
    double begin = now(), t;
    for (long sent = 0; (t = now()) < begin + seconds; turn(1))
        for (; sent < (t - begin) / period * count; sent++, asked++) {
            struct client *c = &clients[asked % count];
            c->began = now();
            put(c, beat, beat_size);
        }
    while (received < asked) turn(1000);
}

static void drop(void) {
    for (int i = 0; i < count; i++) close(clients[i].io.fd);
}

static void storm(void) {
    drop();
    resumed = 0;
    connect_all();
}

/* The newest event that the client has, as surely as can be told without reading what is compressed. READY is number 1. */
static void acknowledge(struct client *c) {
    char out[64];
    say(c, TEXT, out, snprintf(out, sizeof out, dialect->beat, 1 + c->got - c->beaten));
    c->beaten++;
}

static void drain(long events, double period) {
    double begin = now();
    long sent = 0, before = received;
    for (; received < before + events * count + sent; turn(dialect->counts ? 10 : 1000))
        for (; dialect->counts && sent < (now() - begin) / period * count; sent++) acknowledge(&clients[asked++ % count]);
    for (int i = 0; i < count; i++)
        if (clients[i].got - clients[i].beaten != clients->got - clients->beaten) die("a client lost an event");
}

static void run(double seconds, double period, long events) {
    if (is("fanout")) fanout(seconds, events);
    else if (is("requests")) requests(seconds);
    else if (is("beats")) beats(seconds, period);
    else if (is("storm")) storm();
    else if (is("idle")) generation++, connect_all();
}

/* 5,000 heartbeats a second at most: a warm-up is short. */
static void warm_up(double seconds) {
    if (seconds > 0) run(seconds, count > 1000 ? count / 5000. : 0.2, seconds * 100);
}

int main(int argc, char **argv) {
    if (argc < 6) return fprintf(stderr, "load MODE PORT DIALECT CLIENTS SECONDS [name=value..]\n"), 2;
    double period = 1, seconds = atof(argv[5]), warm = 0.5;
    int size = 0;
    long events = 0;
    mode = argv[1], port = atoi(argv[2]), count = atoi(argv[4]);
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (!strcmp(dialects[i].name, argv[3])) dialect = &dialects[i];
    for (int i = 6; i < argc; i++) {
        char *value = strchr(argv[i], '=') + 1;
        if (!strncmp(argv[i], "burst", 5)) burst = atoi(value);
        else if (!strncmp(argv[i], "size", 4)) size = atoi(value);
        else if (!strncmp(argv[i], "stalled", 7)) stalled = atoi(value);
        else if (!strncmp(argv[i], "period", 6)) period = atof(value);
        else if (!strncmp(argv[i], "compress", 8)) compress = value;
        else if (!strncmp(argv[i], "window", 6)) window = atoi(value);
        else if (!strncmp(argv[i], "warm", 4)) warm = atof(value);
        else if (!strncmp(argv[i], "events", 6)) events = atol(value);
    }
    raise_files();
    poller = epoll_create1(0);
    if (is("fanout")) count++; // the publisher, beside those who hear it
    clients = calloc(count, sizeof *clients);
    for (int i = count - stalled; i < count; i++) clients[i].stalled = 1;
    char text[1 << 16], longer[1 << 15] = "";
    if (size < 0 || size >= (int)sizeof longer || burst * (size + 512l) > (long)sizeof event) die("too much to send at once");
    memset(longer, 'x', size);
    int length = snprintf(text, sizeof text, EVENT, longer);
    for (int i = 0; i < burst; i++) event_size += frame(event + event_size, TEXT, text, length, MASK);
    beat_size = frame(beat, TEXT, dialect->beat, strlen(dialect->beat), MASK);

    double wall = now(), used = cpu();
    connect_all();
    printf("{\"connected\": %d, ", count);
    print_stats(now() - wall, cpu() - used);
    puts("}");
    fflush(stdout);
    while (fgets((char *)inbox, INBOX, stdin)) { // at the end, too: they stay until the caller has read the counters
        long before = received, size_before = bytes;
        sampled = 0, wall = now(), used = cpu();
        if (!strcmp((char *)inbox, "warm\n")) warm_up(warm);
        else if (!strcmp((char *)inbox, "drop\n")) drop();
        else if (is("drain")) drain(atol((char *)inbox), period);
        else run(seconds, period, events);
        wall = now() - wall, used = cpu() - used;
        printf("{\"frames\": %ld, \"bytes\": %ld, \"resumed\": %d, ", received - before, bytes - size_before, resumed);
        print_stats(wall, used);
        puts("}");
        fflush(stdout);
    }
    return 0;
}
