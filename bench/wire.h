/* What the load generator and the limit server share: time, sockets, frames, and reading a stream of frames. */

#ifndef WIRE_H
#define WIRE_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
#endif

#define KEY "AAAAAAAAAAAAAAAAAAAAAA=="
#define ACCEPT "ICX+Yqv66kxgM0FcWaLWlFLwTAI=" /* of KEY: every client here sends the same one */
#define INBOX (1 << 18)

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "gave up");
    exit(1);
}

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static inline double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void raise_files(void) {
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

static void set(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

/* A frame of up to 64 KB at `out`; `mask` is 0 for a server's frame. Returns its length. */
static size_t frame(unsigned char *out, int opcode, const void *payload, size_t length, uint32_t mask) {
    size_t at = 2;
    out[0] = 0x80 | opcode;
    if (length < 126) {
        out[1] = length;
    } else {
        out[1] = 126, out[2] = length >> 8, out[3] = length, at = 4;
    }
    if (mask) {
        out[1] |= 0x80;
        memcpy(out + at, &mask, 4);
        at += 4;
    }
    for (size_t i = 0; i < length; i++)
        out[at + i] = ((const unsigned char *)payload)[i] ^ (mask ? ((unsigned char *)&mask)[i & 3] : 0);
    return at + length;
}

/* The first whole frame of `length` bytes at `in`: its size, or 0 where more must come first. */
static size_t parse(const unsigned char *in, size_t length, size_t *head, size_t *body) {
    if (length < 2) return 0;
    size_t at = 2, size = in[1] & 0x7f;
    if (size == 126) {
        if (length < 4) return 0;
        size = in[2] << 8 | in[3], at = 4;
    } else if (size == 127) {
        if (length < 10) return 0;
        size = 0, at = 10;
        for (int i = 2; i < 10; i++) size = size << 8 | in[i];
    }
    if (in[1] & 0x80) at += 4;
    if (length < at + size) return 0;
    *head = at, *body = size;
    return at + size;
}

/* One end of a connection: what it has not parsed yet is kept for the next reading. */
struct stream {
    int fd;
    unsigned char *rest;
    size_t kept, room;
    void *tls;
};

static unsigned char inbox[INBOX];

/* As recv() and send(), through TLS where this was compiled for it. */
#ifdef TLS
static SSL_CTX *secure;

static ssize_t take(struct stream *s, unsigned char *to, size_t room) {
    size_t all = 0;
    int got = 0;
    // What is decrypted and left in there, epoll would not tell of again.
    while (all < room && (got = SSL_read(s->tls, to + all, room - all)) > 0) all += got;
    if (all) return all;
    errno = EAGAIN;
    return SSL_get_error(s->tls, got) == SSL_ERROR_WANT_READ ? -1 : 0;
}

static ssize_t give(struct stream *s, const void *data, size_t length) { return SSL_write(s->tls, data, length); }

/* 1 once the TLS handshake is done, 0 where the server must speak first. */
static int shake(struct stream *s) {
    if (!secure) {
        secure = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_read_ahead(secure, 1);
    }
    if (!s->tls) SSL_set_fd(s->tls = SSL_new(secure), s->fd);
    int done = SSL_connect(s->tls);
    if (done != 1 && SSL_get_error(s->tls, done) != SSL_ERROR_WANT_READ) die("TLS handshake");
    return done == 1;
}
#else
static ssize_t take(struct stream *s, unsigned char *to, size_t room) { return recv(s->fd, to, room, 0); }

static ssize_t give(struct stream *s, const void *data, size_t length) {
    return send(s->fd, data, length, MSG_NOSIGNAL);
}

static inline int shake(struct stream *s) { return s->fd > 0; }
#endif

/* Read once behind what was kept. Returns the bytes now in `inbox`, 0 at the end, -1 where nothing came. */
static ssize_t fill(struct stream *s) {
    if (s->kept) memcpy(inbox, s->rest, s->kept);
    if (s->kept >= INBOX) die("a frame larger than the inbox");
    ssize_t got = take(s, inbox + s->kept, INBOX - s->kept);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? -1 : 0;
    return got ? (ssize_t)s->kept + got : 0;
}

static void keep(struct stream *s, const unsigned char *from, size_t length) {
    if (length > s->room) s->rest = realloc(s->rest, s->room = length);
    if (length) memcpy(s->rest, from, length);
    s->kept = length;
}

#endif
