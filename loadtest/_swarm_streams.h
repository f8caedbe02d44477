/* The streams of a connection: each frame against the position before it, and what a gap says of the numbers between.

   Part of _swarm.c: knows its connections and counts. Must not know sockets. */

static Stream *stream_of(Connection *c, uint64_t id) {
  if (c->used * 2 >= c->slots) {
    int room = c->slots ? c->slots * 2 : 2;
    Stream *grown = calloc((size_t)room, sizeof *grown);
    for (int i = 0; i < c->slots; i++) {
      if (!c->streams[i].id) continue;
      int j = (int)(c->streams[i].id & (uint64_t)(room - 1));
      while (grown[j].id) j = (j + 1) & (room - 1);
      grown[j] = c->streams[i];
    }
    free(c->streams);
    c->streams = grown;
    c->slots = room;
  }
  int i = (int)(id & (uint64_t)(c->slots - 1));
  while (c->streams[i].id && c->streams[i].id != id) i = (i + 1) & (c->slots - 1);
  if (!c->streams[i].id) { c->streams[i] = (Stream){.id = id, .sequence = -1}; c->used++; }
  return &c->streams[i];
}

/* With -D which messages a connection asks: the first HAND, the next, and from the first again. */
static int hand_of(const Connection *c) {
  int hands = opt.deal ? opt.message_count / opt.deal : 0;
  return hands ? c->index % hands : 0;
}
/* What is dealt to others is another stream: they may be throttled otherwise. */
static uint64_t id_of(const Connection *c, Text channel, Text symbol) {
  uint64_t dealt = (uint64_t)hand_of(c);
  return hash(hash(HASH_START ^ dealt, channel), symbol) | 1;
}
/* Who only reads, all the time: latency, rates and delivery are of these. */
static int stays(const Connection *c) {
  return c->index >= opt.stalled + opt.slow + opt.reconnecting + opt.resuming + opt.resubscribing;
}
static unsigned birth_of(uint64_t id, uint64_t epoch);
static void stand_at(Stream *s, Text epoch, int64_t sequence) {
  uint64_t e = hash(HASH_START, epoch);
  if (s->epoch != e) {
    snprintf(s->epoch_text, EPOCH_CHARS, "%.*s", epoch.len, epoch.at);
    s->birth = birth_of(s->id, e);
  }
  s->epoch = e;
  s->sequence = sequence;
}
static void never_came(const Stream *s, int64_t numbers) {
  count.unannounced += (uint64_t)numbers;
  asked[s->asked].unannounced += (uint64_t)numbers;
}

static void on_gap(Connection *c, const char *p, const char *end) {
  Text channel = FIELD(&p, end, "channel"), symbol = FIELD(&p, end, "symbol"), epoch = FIELD(&p, end, "epoch");
  int64_t from = number(FIELD(&p, end, "from")), to = number(FIELD(&p, end, "to"));
  Text new_epoch = FIELD(&p, end, "new_epoch");
  Stream *s = stream_of(c, id_of(c, channel, symbol));
  count.gaps++;
  if (s->sequence < 0 || s->epoch != hash(HASH_START, epoch)) return; /* nothing of this epoch was seen yet */
  if (to >= from && from > s->sequence + 1) never_came(s, from - s->sequence - 1);
  if (new_epoch.at) { stand_at(s, new_epoch, 0); count.epochs++; return; }
  if (to >= from && to > s->sequence) {
    uint64_t missed = (uint64_t)(to - (from > s->sequence ? from - 1 : s->sequence));
    count.announced += missed;
    if (stays(c)) {
      count.announced_to_readers += missed;
      asked[s->asked].announced += missed;
    }
    s->sequence = to;
  }
}
/* Whether the message that asked for it names a throttle; without one it names none. */
static int is_throttled(const Stream *s) { return s->asked && strstr(opt.messages[s->asked - 1], "\"throttle_ms\":"); }
static int is_book(Text channel) { return channel.len == 4 && !memcmp(channel.at, "book", 4); }
static void on_update(Connection *c, const char *p, const char *end) {
  uint64_t len = (uint64_t)(end - p);
  Text channel = FIELD(&p, end, "channel"), kind = FIELD(&p, end, "kind"), epoch = FIELD(&p, end, "epoch");
  int64_t sequence = number(FIELD(&p, end, "sequence"));
  Text t_ex = FIELD(&p, end, "t_ex"), t_in = FIELD(&p, end, "t_in"), t_out = FIELD(&p, end, "t_out"), symbol = FIELD(&p, end, "symbol");
  Stream *s = stream_of(c, id_of(c, channel, symbol));
  uint64_t e = hash(HASH_START, epoch);
  int snapshot = kind.len == 8;
  if (s->sequence >= 0 && s->epoch != e) never_came(s, 1); /* nobody said that the epoch ended */
  else if (s->sequence >= 0 && sequence > s->sequence + 1) never_came(s, sequence - s->sequence - 1);
  else if (sequence <= s->sequence && !snapshot) count.repeated++;
  if (is_book(channel) && !snapshot) { /* one that names no number can be applied to nothing */
    Text applies_to = FIELD(&p, end, "prev_sequence");
    count.misfit += s->sequence >= 0 && (!applies_to.at || number(applies_to) != s->sequence);
  }
  stand_at(s, epoch, sequence);
  s->heard |= measuring;
  if (!c->greeted) { c->greeted = 1; greeted++; }
  if (!measuring || snapshot || !stays(c)) return; /* a snapshot carries the stamps of an old update */
  int64_t now = (int64_t)now_ns(CLOCK_REALTIME);
  int waits = opt.apart && is_throttled(s);
  record(waits ? &from_throttled : &from_in, (double)(now - number(t_in)) / 1e3);
  record(&from_out, (double)(now - number(t_out)) / 1e3);
  if (!waits && t_ex.at && *t_ex.at != 'n') record(&from_ex, (double)now / 1e3 - (double)number(t_ex) * 1e3); /* it is in ms */
  count.frames++;
  asked[s->asked].frames++;
  count.bytes += len;
  c->frames++;
}
/* The codes in `"errors":{..}`, one a symbol. */
static void count_refused(const char *p, const char *end) {
  static const char name[] = "\"errors\":{";
  p = memmem(p, (size_t)(end - p), name, sizeof name - 1);
  const char *closes = p ? memchr(p, '}', (size_t)(end - p)) : NULL;
  for (p = p ? p + sizeof name - 1 : p; closes && (p = memmem(p, (size_t)(closes - p), "\":\"", 3)); p += 3) count.refused++;
}
/* What a request asks for is a stream from then on, also when nothing comes of it. */
static void expect(Connection *c, const char *p, const char *end, int message) {
  Text channel = FIELD(&p, end, "channel"), symbols = FIELD(&p, end, "symbols");
  const char *closes = symbols.at ? memchr(symbols.at, ']', (size_t)(end - symbols.at)) : NULL;
  for (Text name = symbols; closes && (name = first_name(name, closes)).at; name.at += name.len + 1)
    stream_of(c, id_of(c, channel, name))->asked = message;
}
/* Whether what was resumed goes on; when not, whether the epoch that the connection was in has ended meanwhile. */
static void on_subscribed(Connection *c, const char *p, const char *end) {
  count_refused(p, end);
  count.resumed += !!memmem(p, (size_t)(end - p), "\"recovered\":true", 16);
  if (!memmem(p, (size_t)(end - p), "\"recovered\":false", 17)) return;
  Text channel = FIELD(&p, end, "channel"), streams = FIELD(&p, end, "streams"), symbol = first_name(streams, end);
  Text epoch = symbol.at ? (p = streams.at, FIELD(&p, end, "epoch")) : symbol;
  if (epoch.at && stream_of(c, id_of(c, channel, symbol))->epoch != hash(HASH_START, epoch)) count.too_late++;
  else count.not_recovered++;
}
/* What comes after a subscription ended is not held against what came before. */
static void on_unsubscribed(Connection *c, const char *p, const char *end) {
  Text channel = FIELD(&p, end, "channel"), symbol = first_symbol(p, end);
  if (symbol.at) stream_of(c, id_of(c, channel, symbol))->sequence = -1;
}
