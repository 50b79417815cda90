/* Load generator: many WebSocket clients in one epoll loop, which cost so little that the server is what is measured.

   load MODE PORT DIALECT CLIENTS SECONDS [burst=N] [size=BYTES] [stalled=N] [period=S] [events=N] [window=N] [warm=S]

   It connects and identifies, warms the server up, prints a line of JSON, waits for a line on stdin (so that its caller
   can read the server's counters), runs, and prints a second line of JSON. */

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
};
static const struct dialect dialects[] = {
    {"oxyl", "/", "{\"op\":0,\"d\":{\"type\":\"%s\",\"compress\":false,\"secret\":\"bench-secret\"}}", "IDENTIFIED",
     "{\"op\":1,\"d\":{\"heapUsed\":123456789}}"},
    {"utilbot", "/?v=1",
     "{\"op\":1,\"t\":\"identify\",\"d\":{\"type\":\"%s\",\"key\":\"bench-secret\",\"id\":\"bot-%d\"}}",
     "bot_connect_success", "{\"op\":10}"},
    {"rooms", "/gateway?roomId=1&participantId=p%d&token=bench-secret", NULL, NULL, "{\"e\":1,\"d\":{}}"},
};

enum state { OFF, SHAKING, UPGRADING, GREETED, IDENTIFYING, READY };
struct client {
    struct stream io;
    enum state state;
    int stalled;
    long got;
    double began; /* its connect, or its latest request */
};

static struct client *clients;
static const struct dialect *dialect;
static const char *mode;
static int port, count, ready, opening, next, resumed, poller, burst = 1, stalled, window = 256;
static long received, wanted, events, asked;
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
    snprintf(path, sizeof path, dialect->path, (int)(c - clients));
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
    switch (c->state) {
    case GREETED:
        if (!dialect->identify) {
            arrived(c);
            break;
        }
        const char *type = *dialect->name == 'u' ? "bot" : number || !(is("fanout")) ? "commands" : "sharder";
        say(c, TEXT, out, snprintf(out, sizeof out, dialect->identify, type, number));
        c->state = IDENTIFYING;
        break;
    case IDENTIFYING:
        if (!memmem(text, length, dialect->ready, strlen(dialect->ready))) {
            fprintf(stderr, "not identified: %.*s\n", (int)length, text);
            exit(1);
        }
        resumed += memmem(text, length, "\"resumed\":true", 14) != NULL;
        arrived(c);
        break;
    default:
        c->got++, received++;
        if (!is("requests") && !is("beats")) break;
        double t = now();
        sample(t - c->began);
        c->began = t;
        if (is("requests")) put(c, beat, beat_size);
    }
}

static void lost(struct client *c) {
    if (c->stalled) return;
    fprintf(stderr, "the server closed client %d in state %d\n", (int)(c - clients), c->state);
    exit(1);
}

static void readable(struct client *c) {
    ssize_t have = fill(&c->io);
    if (have < 0) return;
    if (have == 0) return lost(c);
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
        if (opcode == TEXT) on_text(c, (char *)at + head, body);
        if (opcode == PING) say(c, PONG, (char *)at + head, body);
        if (opcode == CLOSE) return lost(c);
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

static void fanout(double seconds) {
    double end = now() + seconds;
    long each = count - 1 - stalled;
    for (double t = now(); t < end && (!events || wanted < events * each);) {
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
    if (!received)
        for (int i = 0; i < count; i++) clients[i].began = now(), put(&clients[i], beat, beat_size);
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

static void storm(void) {
    for (int i = 0; i < count; i++) close(clients[i].io.fd);
    resumed = 0;
    connect_all();
}

static void drain(void) {
    while (received < events * count) turn(1000);
}

static void run(double seconds, double period) {
    if (is("fanout")) fanout(seconds);
    else if (is("requests")) requests(seconds);
    else if (is("beats")) beats(seconds, period);
}

int main(int argc, char **argv) {
    if (argc < 6) return fprintf(stderr, "load MODE PORT DIALECT CLIENTS SECONDS [name=value..]\n"), 2;
    double period = 1, seconds = atof(argv[5]), warm = 0.5;
    int size = 0;
    mode = argv[1], port = atoi(argv[2]), count = atoi(argv[4]);
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (!strcmp(dialects[i].name, argv[3])) dialect = &dialects[i];
    for (int i = 6; i < argc; i++) {
        char *value = strchr(argv[i], '=') + 1;
        if (!strncmp(argv[i], "burst", 5)) burst = atoi(value);
        else if (!strncmp(argv[i], "size", 4)) size = atoi(value);
        else if (!strncmp(argv[i], "stalled", 7)) stalled = atoi(value);
        else if (!strncmp(argv[i], "period", 6)) period = atof(value);
        else if (!strncmp(argv[i], "events", 6)) events = atol(value);
        else if (!strncmp(argv[i], "window", 6)) window = atoi(value);
        else if (!strncmp(argv[i], "warm", 4)) warm = atof(value);
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
    run(warm, count > 1000 ? count / 5000. : 0.2); // 5,000 heartbeats a second at most
    fflush(stdout);
    if (!fgets((char *)inbox, INBOX, stdin)) return 0;

    sampled = 0;
    long before = received;
    wall = now(), used = cpu();
    if (is("storm")) storm();
    else if (is("drain")) drain();
    else run(seconds, period);
    wall = now() - wall, used = cpu() - used;
    printf("{\"frames\": %ld, \"resumed\": %d, ", received - before, resumed);
    print_stats(wall, used);
    puts("}");
    fflush(stdout);
    fgets((char *)inbox, INBOX, stdin); // the clients stay until the caller has read the counters
    return 0;
}
