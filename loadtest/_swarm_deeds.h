/* What those do who do not stay: lose the connection and come back, or subscribe anew; and who is not answered.

   Part of _swarm.c: knows its connections, and how they dial and subscribe. Must not know frames. */

static void subscribe_anew(Connection *c) {
  for (int m = 0; m < opt.message_count; m++) {
    if (!is_mine(c, m)) continue;
    char text[8192], without[8224];
    snprintf(text, sizeof text, opt.messages[m], index_of(c));
    const char *rest = text + sizeof "{\"action\":\"" - 1;
    send_frame(c, 1, without, snprintf(without, sizeof without, "{\"action\":\"un%s", rest));
  }
  subscribe(c);
  count.resubscribed++;
}
/* Without a goodbye, as a program that crashes or a cable that is pulled. */
static void come_back(Connection *c, int resumes) {
  if (c->state == UP) { up--; greeted -= c->greeted; close(c->fd); }
  for (int i = 0; !resumes && i < c->slots; i++) c->streams[i].sequence = -1;
  c->rest = c->greeted = 0;
  c->comes_back = 1;
  c->next_deed_ns = now_ns(CLOCK_MONOTONIC) + VISIT_MS * 1000000ull; /* unless it comes up, which sets it anew */
  count.reconnects++;
  dial(c);
}
/* A server that takes a connection and says nothing more would keep it forever. */
static void give_up_when_due(Connection *all, uint64_t now) {
  static uint64_t due;
  if (!in_flight || now < due) return;
  uint64_t deadline_ns = (uint64_t)(opt.handshake_s * 1e9);
  due = now + deadline_ns / 20;
  for (int i = 0; i < opt.connections; i++) {
    Connection *c = &all[i];
    if ((c->state != CONNECTING && c->state != SHAKING) || !c->dialled_ns || now < c->dialled_ns + deadline_ns) continue;
    if (!count.given_up) fprintf(stderr, "a handshake was not answered in %g s\n", opt.handshake_s);
    count.given_up++;
    kill_connection(c);
  }
}
static void come_and_go(Connection *all, uint64_t now) {
  int first = opt.stalled + opt.slow, resuming = first + opt.reconnecting, staying = resuming + opt.resuming;
  for (int i = first; i < staying + opt.resubscribing; i++) {
    Connection *c = &all[i];
    if (now < c->next_deed_ns || c->state == CONNECTING || c->state == SHAKING) continue;
    if (i < staying) come_back(c, i >= resuming);
    else if (c->state == UP) subscribe_anew(c);
  }
}
