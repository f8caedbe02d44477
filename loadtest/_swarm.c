/* A swarm of WebSocket subscribers in one process and one epoll loop; `loadtest/swarm.py` compiles and starts it.

   Speaks the stream dialect of the wire and nothing else; must not know how the server works. Every numbered frame is
   checked against the last one of its (channel, symbol): a missing number is either inside an announced gap or counted
   as unannounced. An update of a book names the number it is to be applied to: another one than the last is `misfit`.
   Latency is taken from `t_in` and from `t_out` (ns since the epoch) when the frame is read.

     _swarm -p PORT [-u PATH] [-n CONNS] [-m MESSAGE]... [-M MODULUS] [-w WARMUP_S] [-d SECONDS] [-C IN_FLIGHT]
            [-P SERVER_PID] [-S STALLED] [-L SLOW] [-R RECONNECTING] [-U RESUMING] [-Q RESUBSCRIBING]
            [-A AUDIT_S] [-G DRAIN_S] [-i PING_EVERY_MS] [-o FIRST] [-e TELL_EVERY_MS] [-H HANDSHAKE_S] [-T TOKENS_FILE] [-B] [-D HAND] [-W]

   One %d in MESSAGE is the connection's index (modulo MODULUS when given), counted from FIRST. The first STALLED
   connections have a small receive window and stop reading once up, the SLOW ones after them read a little four times a
   second; with AUDIT_S both read again after the measurement, so that what they missed can be held against what was
   announced. After them come those who, while it is measured, lose their connection every few seconds and begin anew, or
   resume, and those who subscribe anew on the one they have; a MESSAGE then begins with {"action":"subscribe" and names
   one symbol. Latency, rates and `announced_to_readers` are of all others, who stay; a lost continuity (new_epoch) is no
   number of anybody. Latency from the exchange's time is of frames that have one, in ms. With PING_EVERY_MS every connection sends ping requests whose id is
   when it was due. Every connection shows the next line of TOKENS_FILE as its bearer token. With -B a connection
   counts as there once its first numbered frame is, and after the measurement all are dropped at once and come back.
   A handshake that is not answered in HANDSHAKE_S is given up, and counted. After the measurement all read on until
   each stream of who reads is where the furthest then was, DRAIN_S at most: what it still lacks is `behind`, and of what
   is `silent` nothing came while it was measured. SIGTERM ends the measurement early, and the next one the audit. Prints
   a line of JSON when the last connection is up, with TELL_EVERY_MS one that often with what was measured since the last
   and what was missed so far, one with the buckets of the latency from `t_in` (us, frames) and one with the figures at
   the end; `.._of_N` is of the streams that the Nth MESSAGE asks for. Every connection sends all messages; with -D they
   are dealt out, HAND of them to each. With -W latency from `t_in` of throttled streams, which wait, is counted apart, and
   theirs from the exchange's time is not. Assumes one subscription a (channel, symbol) and connection. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "_swarm_measure.h"
#include "_swarm_text.h"
#include "_swarm_tokens.h"

enum { CONNECTING, SHAKING, UP, DEAD };
enum { READ_BYTES = 262144, HEAD_BYTES_MAX = 16384, MESSAGES_MAX = 64, MESSAGE_BYTES_MAX = 7936, STALLED_WINDOW_BYTES = 4096 };
enum { SLOW_READ_BYTES = 1024, SLOW_EVERY_MS = 250, VISIT_MS = 2000, EPOCH_CHARS = 24 };

typedef struct { uint64_t id, epoch; int64_t sequence; char epoch_text[EPOCH_CHARS]; unsigned birth; int heard, asked; } Stream; /* id 0: a free slot; asked: by which message, from 1, 0 by none */
typedef struct {
  int fd, state, index, greeted, rest, rest_room, slots, used;
  uint8_t *rest_bytes; /* the beginning of a frame whose end has not arrived */
  Stream *streams;     /* open addressing, `slots` a power of two */
  uint64_t dialled_ns, frames, next_ping_ns, next_deed_ns;
  int comes_back; /* it was there before, and lost its connection */
  int judged;     /* it was up when the measurement ended */
} Connection;

static struct {
  const char *path, *messages[MESSAGES_MAX];
  int port, connections, message_count, modulus, first, in_flight_max, stalled, slow, reconnecting, resuming, resubscribing, ping_ms, tell_ms, again, deal, apart;
  double seconds, warmup_s, audit_s, drain_s, handshake_s;
  pid_t server;
} opt = {.path = "/v1/stream", .port = 8000, .connections = 100, .in_flight_max = 64, .seconds = 5, .warmup_s = 1, .drain_s = 5, .handshake_s = 30};

static struct { uint64_t frames, bytes, control, other, closed, failed, given_up, announced, announced_to_readers, unannounced, repeated, gaps, epochs, reconnects, reconnected, resumed, too_late, not_recovered, resubscribed, refused, misfit, behind, behind_to_readers, silent; } count;
static struct { uint64_t frames, announced, unannounced, behind; } asked[MESSAGES_MAX + 1]; /* by message; frames, announced and behind of who reads */
static Histogram from_ex, from_in, from_out, from_throttled, handshake, reply;
static int poller, in_flight, up, measuring, auditing, greeted;
static volatile sig_atomic_t ended;
static uint8_t *scratch;

/* A client's frame, masked with zeros (a valid mask). The kernel takes it whole: requests are small and rare. */
static void send_frame(Connection *c, int opcode, const char *payload, int len) {
  uint8_t frame[8300];
  int n = 0;
  frame[n++] = (uint8_t)(0x80 | opcode);
  if (len < 126) frame[n++] = (uint8_t)(0x80 | len);
  else { frame[n++] = 0x80 | 126; frame[n++] = (uint8_t)(len >> 8); frame[n++] = (uint8_t)len; }
  memset(frame + n, 0, 4);
  n += 4;
  memcpy(frame + n, payload, (size_t)len);
  if (send(c->fd, frame, (size_t)(n + len), MSG_NOSIGNAL) != n + len) perror("send");
}

#include "_swarm_streams.h"

static void on_frame(Connection *c, int opcode, const uint8_t *payload, uint64_t len) {
  const char *p = (const char *)payload, *end = p + len;
  if (opcode == 8) { count.closed++; return; }
  if (opcode == 9) { send_frame(c, 10, p, len > 125 ? 125 : (int)len); count.control++; return; }
  if (opcode == 10) { count.control++; return; }
  if (len > 12 && !memcmp(p, "{\"type\":\"gap\"", 13)) { on_gap(c, p, end); return; }
  if (len > 13 && !memcmp(p, "{\"type\":\"pong\"", 14)) {
    uint64_t sent = (uint64_t)number(FIELD(&p, end, "id"));
    if (measuring && sent) record(&reply, (double)(now_ns(CLOCK_MONOTONIC) - sent) / 1e3);
    return;
  }
  if (len > 14 && !memcmp(p, "{\"type\":\"error\"", 15)) count.refused++;
  if (len > 20 && !memcmp(p, "{\"type\":\"subscribed\"", 20)) on_subscribed(c, p, end);
  if (len > 22 && !memcmp(p, "{\"type\":\"unsubscribed\"", 22)) { on_unsubscribed(c, p, end); return; }
  const char *q = p, *near = p + 64 < end ? p + 64 : end;
  if (FIELD(&q, near, "kind").at) on_update(c, p, end);
  else count.other++;
}

static void kill_connection(Connection *c) {
  if (c->state == CONNECTING || c->state == SHAKING) { in_flight--; count.failed++; }
  else if (c->state == UP) { count.closed++; up--; greeted -= c->greeted; }
  c->greeted = 0;
  c->state = DEAD;
  close(c->fd); /* leaves the epoll set by itself */
}
/* Splits `len` bytes at `p` into frames; returns how many bytes of an unfinished frame are left at the end. */
static int split(Connection *c, const uint8_t *p, int len) {
  while (len >= 2) {
    uint64_t size = p[1] & 127;
    int head = 2;
    if (size == 126) {
      if (len < 4) break;
      size = (uint64_t)p[2] << 8 | p[3];
      head = 4;
    } else if (size == 127) {
      if (len < 10) break;
      size = 0;
      for (int i = 0; i < 8; i++) size = size << 8 | p[2 + i];
      head = 10;
    }
    if (size + (uint64_t)head > (uint64_t)len) break;
    on_frame(c, p[0] & 15, p + head, size);
    p += head + (int)size;
    len -= head + (int)size;
  }
  return len;
}
static void keep_rest(Connection *c, const uint8_t *from, int len) {
  if (len > c->rest_room) c->rest_bytes = realloc(c->rest_bytes, (size_t)(c->rest_room = len));
  if (len) memcpy(c->rest_bytes, from, (size_t)len);
  c->rest = len;
}
static int reads_freely(const Connection *c) { return c->index >= opt.stalled + opt.slow; }
static int index_of(const Connection *c) { return opt.first + (opt.modulus ? c->index % opt.modulus : c->index); }

/* Adds where the connection is to a message; returns its length. */
static int with_position(Connection *c, char *text, int len, size_t room) {
  const char *p = text, *end = text + len;
  Text channel = FIELD(&p, end, "channel"), symbol = first_symbol(p, end);
  Stream *s = symbol.at ? stream_of(c, id_of(c, channel, symbol)) : NULL;
  if (!s || s->sequence < 0 || (size_t)(len + symbol.len) + 128 > room) return len; /* what has no room begins anew */
  return len - 1 + snprintf(text + len - 1, room - (size_t)len, ",\"resume\":{\"%.*s\":{\"epoch\":\"%s\",\"sequence\":%lld}}}",
                            symbol.len, symbol.at, s->epoch_text, (long long)s->sequence);
}
/* Sends the messages; who resumes says where it is in the first stream that each of them names. */
/* Whether a connection asks this: with -D a hand of the messages, otherwise all. */
static int is_mine(const Connection *c, int m) { return !opt.deal || m / opt.deal == hand_of(c); }
static void subscribe(Connection *c) {
  for (int m = 0; m < opt.message_count; m++) {
    if (!is_mine(c, m)) continue;
    char text[8192];
    int len = snprintf(text, sizeof text, opt.messages[m], index_of(c));
    expect(c, text, text + len, m + 1);
    if (c->comes_back) len = with_position(c, text, len, sizeof text);
    send_frame(c, 1, text, len);
  }
  if (c->comes_back) count.reconnected++;
  c->comes_back = 0;
  c->next_deed_ns = now_ns(CLOCK_MONOTONIC) + (uint64_t)(VISIT_MS + c->index % VISIT_MS) * 1000000ull;
}
/* Checks the answer to the handshake; returns the length of its head, 0 when it is unfinished, -1 when refused. */
static int shake(Connection *c, const uint8_t *bytes, int len) {
  static const char accept_line[] = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
  const uint8_t *end = memmem(bytes, (size_t)len, "\r\n\r\n", 4);
  if (!end) return len > HEAD_BYTES_MAX ? -1 : 0;
  int head = (int)(end - bytes) + 4;
  if (!memmem(bytes, (size_t)head, " 101 ", 5) || !strcasestr((const char *)bytes, accept_line)) {
    if (count.failed < 3) fprintf(stderr, "handshake refused: %.*s\n", head > 300 ? 300 : head, (const char *)bytes);
    return -1;
  }
  c->state = UP;
  c->next_ping_ns = 0;
  in_flight--;
  up++;
  record(&handshake, (double)(now_ns(CLOCK_MONOTONIC) - c->dialled_ns) / 1e3);
  subscribe(c);
  if (!reads_freely(c)) epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
  return head;
}
static void read_up_to(Connection *c, int most) {
  if (c->rest) memcpy(scratch, c->rest_bytes, (size_t)c->rest);
  ssize_t got = recv(c->fd, scratch + c->rest, (size_t)most, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) { kill_connection(c); return; }
  int len = c->rest + (int)got, head = 0;
  scratch[len] = 0;
  if (c->state == SHAKING) {
    head = shake(c, scratch, len);
    if (head < 0) { kill_connection(c); return; }
    if (!head) { keep_rest(c, scratch, len); return; }
  }
  int rest = split(c, scratch + head, len - head);
  if (rest > READ_BYTES) { fprintf(stderr, "a frame above %d bytes\n", READ_BYTES); kill_connection(c); return; }
  keep_rest(c, scratch + len - rest, rest);
}
static void on_connected(Connection *c) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) { kill_connection(c); return; }
  char path[2048], bearer[9216], request[12288];
  next_bearer(bearer, sizeof bearer);
  snprintf(path, sizeof path, opt.path, index_of(c));
  int n = snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", path, opt.port, bearer);
  if (send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n) { kill_connection(c); return; }
  c->state = SHAKING;
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &ev);
}
static void dial(Connection *c) {
  int one = 1, window = STALLED_WINDOW_BYTES;
  struct linger reset = {1, 0}; /* leave by RST: ports in TIME_WAIT make the next run's connects slow */
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  c->state = CONNECTING;
  c->dialled_ns = now_ns(CLOCK_MONOTONIC);
  in_flight++;
  if (c->fd < 0) { perror("socket"); in_flight--; count.failed++; c->state = DEAD; return; }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  if (!reads_freely(c)) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
  /* one source address has some 28,000 ports: take the next one every 20,000 connections */
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001u + (uint32_t)c->index / 20000)};
  struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(c->fd, (struct sockaddr *)&here, sizeof here)) perror("bind");
  struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &ev);
  if (connect(c->fd, (struct sockaddr *)&there, sizeof there) && errno != EINPROGRESS) kill_connection(c);
}
/* Sends what is due; when the next one is. A ping is stamped with when it was due: who could not send for a while sends
   all that it owes, and what they waited for us counts, too. */
static uint64_t ping_when_due(Connection *all, uint64_t now) {
  uint64_t every = (uint64_t)opt.ping_ms * 1000000ull, next = now + every;
  for (int i = 0; i < opt.connections; i++) {
    Connection *c = &all[i];
    if (c->state != UP) continue;
    if (!c->next_ping_ns) c->next_ping_ns = now + every * (uint64_t)i / (uint64_t)opt.connections; /* spread over one interval */
    for (; now >= c->next_ping_ns; c->next_ping_ns += every) {
      char text[64];
      send_frame(c, 1, text, snprintf(text, sizeof text, "{\"action\":\"ping\",\"id\":%llu}", (unsigned long long)c->next_ping_ns));
    }
    if (c->next_ping_ns < next) next = c->next_ping_ns;
  }
  return next;
}
static void read_slowly_when_due(Connection *all, uint64_t now) {
  static uint64_t due;
  if (now < due) return;
  due = now + SLOW_EVERY_MS * 1000000ull;
  for (int i = opt.stalled; i < opt.stalled + opt.slow; i++)
    if (all[i].state == UP) read_up_to(&all[i], SLOW_READ_BYTES);
}
static void poll_once(int wait_ms) {
  struct epoll_event events[1024];
  int n = epoll_wait(poller, events, 1024, wait_ms);
  for (int i = 0; i < n; i++) {
    Connection *c = events[i].data.ptr;
    if (c->state == CONNECTING) on_connected(c);
    else if (c->state != DEAD) read_up_to(c, READ_BYTES - 1);
  }
}
/* Until something can be read; to the nanosecond, as epoll_wait cannot. */
static void wait_until(uint64_t ns) {
  uint64_t now = now_ns(CLOCK_MONOTONIC), left = ns > now ? ns - now : 0;
  struct timespec most = {(time_t)(left / 1000000000ull), (long)(left % 1000000000ull)};
  struct pollfd any = {.fd = poller, .events = POLLIN};
  ppoll(&any, 1, &most, NULL);
}
#include "_swarm_deeds.h"
#include "_swarm_told.h"

static void run_until(Connection *all, uint64_t end_ns) {
  for (uint64_t now; !ended && (now = now_ns(CLOCK_MONOTONIC)) < end_ns;) {
    uint64_t wake_ns = opt.ping_ms ? ping_when_due(all, now) : end_ns;
    if (measuring && opt.reconnecting + opt.resuming + opt.resubscribing) come_and_go(all, now);
    if (opt.tell_ms && measuring) tell_when_due(all, now);
    give_up_when_due(all, now);
    if (opt.slow && !auditing) read_slowly_when_due(all, now);
    uint64_t left_ms = (end_ns - now) / 1000000 + 1;
    if (opt.ping_ms) wait_until(wake_ns < end_ns ? wake_ns : end_ns);
    poll_once(opt.ping_ms ? 0 : left_ms > 20 ? 20 : (int)left_ms);
  }
}
#include "_swarm_ends.h"

static void on_term(int number) { ended = number; }
static void arguments(int argc, char **argv) {
  for (int o; (o = getopt(argc, argv, "p:u:n:m:M:o:w:d:C:P:S:L:R:U:Q:A:G:i:e:H:T:BD:W")) != -1;) switch (o) {
    case 'p': opt.port = atoi(optarg); break;
    case 'u': opt.path = optarg; break;
    case 'n': opt.connections = atoi(optarg); break;
    case 'm':
      if (opt.message_count == MESSAGES_MAX || strlen(optarg) > MESSAGE_BYTES_MAX) {
        fprintf(stderr, "at most %d messages of at most %d bytes each\n", MESSAGES_MAX, MESSAGE_BYTES_MAX);
        exit(2);
      }
      opt.messages[opt.message_count++] = optarg;
      break;
    case 'M': opt.modulus = atoi(optarg); break;
    case 'w': opt.warmup_s = atof(optarg); break;
    case 'd': opt.seconds = atof(optarg); break;
    case 'C': opt.in_flight_max = atoi(optarg); break;
    case 'P': opt.server = atoi(optarg); break;
    case 'S': opt.stalled = atoi(optarg); break;
    case 'L': opt.slow = atoi(optarg); break;
    case 'R': opt.reconnecting = atoi(optarg); break;
    case 'U': opt.resuming = atoi(optarg); break;
    case 'Q': opt.resubscribing = atoi(optarg); break;
    case 'o': opt.first = atoi(optarg); break;
    case 'A': opt.audit_s = atof(optarg); break;
    case 'G': opt.drain_s = atof(optarg); break;
    case 'i': opt.ping_ms = atoi(optarg); break;
    case 'e': opt.tell_ms = atoi(optarg); break;
    case 'H': opt.handshake_s = atof(optarg); break;
    case 'T': read_tokens(optarg); break;
    case 'B': opt.again = 1; break;
    case 'D': opt.deal = atoi(optarg); break;
    case 'W': opt.apart = 1; break;
    default: exit(2);
  }
}
/* Opens all of them, so many at a time; seconds since `start` until the last handshake was answered, 0 when it takes too
   long. With -B it returns when the last one has its first numbered frame, too. */
static double connect_all(Connection *all, uint64_t start) {
  uint64_t answered = 0;
  for (int next = 0; next < opt.connections || in_flight || (opt.again && greeted < up);) {
    for (; next < opt.connections && in_flight < opt.in_flight_max; next++) { all[next].index = next; dial(&all[next]); }
    uint64_t now = now_ns(CLOCK_MONOTONIC);
    if (now - start > 120000000000ull) { fprintf(stderr, "connecting took over 120 s: %d up\n", up); return 0; }
    poll_once(1);
    give_up_when_due(all, now_ns(CLOCK_MONOTONIC));
    if (!answered && next == opt.connections && !in_flight) answered = now_ns(CLOCK_MONOTONIC);
  }
  return (double)((answered ? answered : now_ns(CLOCK_MONOTONIC)) - start) / 1e9;
}
static void drop_all(Connection *all) {
  for (int i = 0; i < opt.connections; i++) {
    Connection *c = &all[i];
    if (c->state != DEAD) close(c->fd);
    if (c->streams) memset(c->streams, 0, (size_t)c->slots * sizeof *c->streams);
    c->rest = c->used = c->greeted = 0;
  }
  up = greeted = 0;
}
int main(int argc, char **argv) {
  arguments(argc, argv);
  signal(SIGTERM, on_term);
  raise_open_files();
  scratch = malloc(2 * READ_BYTES);
  poller = epoll_create1(0);
  Connection *all = calloc((size_t)opt.connections, sizeof *all);

  double connecting_cpu_s = own_cpu_s(), again_connect_s = 0, again_s = 0;
  uint64_t start = now_ns(CLOCK_MONOTONIC);
  double connect_s = connect_all(all, start);
  if (!connect_s) return 1;
  double there_s = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
  connecting_cpu_s = own_cpu_s() - connecting_cpu_s;
  printf("{\"up\":%d}\n", up);
  fflush(stdout);
  run_until(all, now_ns(CLOCK_MONOTONIC) + (uint64_t)(opt.warmup_s * 1e9));

  double server_s = server_cpu_s(opt.server), client_s = own_cpu_s(), wait_s = own_wait_s();
  uint64_t began = now_ns(CLOCK_MONOTONIC);
  begin_measured(all);
  measuring = 1;
  run_until(all, began + (uint64_t)(opt.seconds * 1e9));
  measuring = 0;
  double seconds = (double)(now_ns(CLOCK_MONOTONIC) - began) / 1e9;
  server_s = server_cpu_s(opt.server) - server_s;
  client_s = own_cpu_s() - client_s;
  wait_s = own_wait_s() - wait_s;
  long rss_kB = server_rss_kB(opt.server);
  drain(all);

  if (opt.audit_s > 0) {
    auditing = 1;
    ended = 0;
    for (int i = 0; i < opt.stalled + opt.slow; i++) {
      struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &all[i]};
      if (all[i].state == UP) epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &ev);
    }
    run_until(all, now_ns(CLOCK_MONOTONIC) + (uint64_t)(opt.audit_s * 1e9));
  }
  int stayed = up;
  if (opt.again) {
    start = now_ns(CLOCK_MONOTONIC);
    drop_all(all);
    again_connect_s = connect_all(all, start);
    if (!again_connect_s) return 1;
    again_s = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
  }
  print_figures(all, (Run){seconds, connect_s, there_s, connecting_cpu_s, again_connect_s, again_s, server_s, client_s, wait_s, stayed, rss_kB});
  return 0;
}
