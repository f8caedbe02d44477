/* Who has all that anybody has: where each stream is at the end, against the furthest that any connection came in it.

   Part of _swarm.c: knows its connections, streams and counts. Must not know frames. A hole shows when a later number
   comes; of a stream that fell silent none does. */

enum { DRAIN_STEP_MS = 20 };

/* Of one stream over all connections; those of an epoch are there only to say when it was first seen. */
typedef struct {
  uint64_t id, epoch;          /* epoch 0: the stream */
  unsigned birth, goal, began; /* the newest epoch: now, at the end of the measurement, and when it began */
  int64_t goal_at, began_at;   /* the furthest position in it, then */
  int heard;                   /* somebody had something of it while it was measured */
} Known;
static struct { Known *all; unsigned slots, used, births; } known;

/* Valid until the next call. */
static Known *known_of(uint64_t id, uint64_t epoch) {
  if (known.used * 2 >= known.slots) {
    unsigned had = known.slots;
    Known *old = known.all;
    known.slots = had ? had * 2 : 64;
    known.all = calloc(known.slots, sizeof *known.all);
    known.used = 0;
    for (unsigned i = 0; i < had; i++) if (old[i].id) *known_of(old[i].id, old[i].epoch) = old[i];
    free(old);
  }
  unsigned i = (unsigned)(((id ^ epoch) * 0x9E3779B97F4A7C15ull) >> 32) & (known.slots - 1);
  while (known.all[i].id && (known.all[i].id != id || known.all[i].epoch != epoch)) i = (i + 1) & (known.slots - 1);
  if (!known.all[i].id) { known.all[i] = (Known){.id = id, .epoch = epoch, .goal_at = -1, .began_at = -1}; known.used++; }
  return &known.all[i];
}
/* The place of an epoch among those of all streams, by when somebody first saw it; the later one is the newer. */
static unsigned birth_of(uint64_t id, uint64_t epoch) {
  if (!known_of(id, epoch)->birth) {
    known_of(id, epoch)->birth = ++known.births;
    known_of(id, 0)->birth = known.births;
  }
  return known_of(id, epoch)->birth;
}
/* Sets the goals to where the streams are now. */
static void survey(const Connection *all) {
  for (unsigned i = 0; i < known.slots; i++) { known.all[i].goal = known.all[i].birth; known.all[i].goal_at = -1; }
  for (int i = 0; i < opt.connections; i++)
    for (int j = 0; j < all[i].slots; j++) {
      const Stream *s = &all[i].streams[j];
      if (!s->id) continue;
      Known *k = known_of(s->id, 0);
      k->heard |= s->heard;
      if (s->birth == k->goal && s->sequence > k->goal_at) k->goal_at = s->sequence;
    }
}
static void begin_measured(const Connection *all) {
  survey(all);
  for (unsigned i = 0; i < known.slots; i++) { known.all[i].began = known.all[i].goal; known.all[i].began_at = known.all[i].goal_at; }
}
/* How many numbers up to the goal a stream has not; of one that was begun anew and has nothing yet, at least one. */
static uint64_t missed_of(const Stream *s) {
  const Known *k = known_of(s->id, 0);
  if (k->goal_at < 0 || s->birth > k->goal) return 0;
  if (s->sequence >= 0 && s->birth == k->goal) return s->sequence < k->goal_at ? (uint64_t)(k->goal_at - s->sequence) : 0;
  if (s->sequence < 0 && !k->heard) return 0;
  if (s->sequence < 0 && s->heard) return 1;
  int64_t from = k->began == k->goal && k->began_at > 0 ? k->began_at : 0;
  return k->goal_at > from ? (uint64_t)(k->goal_at - from) : 1;
}
/* Counts who is behind the goals, of those who read and were up when they were set; returns how many numbers. */
static uint64_t count_behind(const Connection *all) {
  count.behind = count.behind_to_readers = count.silent = 0;
  for (int m = 0; m <= MESSAGES_MAX; m++) asked[m].behind = 0;
  for (int i = opt.stalled + opt.slow; i < opt.connections; i++)
    for (int j = 0; all[i].judged && all[i].state == UP && j < all[i].slots; j++) {
      const Stream *s = &all[i].streams[j];
      uint64_t missed = s->id ? missed_of(s) : 0;
      count.behind += missed;
      if (stays(&all[i])) {
        count.behind_to_readers += missed;
        asked[s->asked].behind += missed;
      }
      count.silent += missed && !s->heard;
    }
  return count.behind;
}
/* Reads on until all are where the furthest was when the measurement ended, or for DRAIN_S. */
static void drain(Connection *all) {
  ended = 0;
  survey(all);
  for (int i = 0; i < opt.connections; i++) all[i].judged = all[i].state == UP;
  uint64_t now = now_ns(CLOCK_MONOTONIC), gives_up = now + (uint64_t)(opt.drain_s * 1e9);
  for (; count_behind(all) && now < gives_up && !ended; now = now_ns(CLOCK_MONOTONIC))
    run_until(all, now + DRAIN_STEP_MS * 1000000ull);
}
