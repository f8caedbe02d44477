/* What is told: while it is measured a line of JSON with what came since the one before and what was missed so far, and
   all figures at the end.

   Part of _swarm.c: knows its connections, counts and histograms. Must not know sockets. */

static int lost_of_those_who_stay(const Connection *all) {
  int lost = 0;
  for (int i = 0; i < opt.connections; i++) lost += stays(&all[i]) && all[i].state != UP;
  return lost;
}
static void tell_when_due(const Connection *all, uint64_t now) {
  static uint64_t due, before;
  static double cpu_s, wait_s;
  static Histogram told, told_ex;
  static uint64_t clock_before; /* of the wall, as others on this machine read it */
  if (now < due) return;
  due = now + (uint64_t)opt.tell_ms * 1000000ull;
  double cpu = own_cpu_s(), wait = own_wait_s(), took_s = (double)(now - before) / 1e9;
  if (before) printf("{\"client_cpu\":%.3f,\"client_waited\":%.3f,", (cpu - cpu_s) / took_s, (wait - wait_s) / took_s);
  else printf("{");
  uint64_t clock = now_ns(CLOCK_REALTIME);
  printf("\"from_s\":%.3f,\"until_s\":%.3f,", (double)(before ? clock_before : clock) / 1e9, (double)clock / 1e9);
  before = now, clock_before = clock, cpu_s = cpu, wait_s = wait;
  printf("\"conns\":%d,\"alive\":%d,\"lost\":%d,\"given_up\":%lu,\"unannounced\":%lu,\"repeated\":%lu,", opt.connections, up,
         lost_of_those_who_stay(all), count.given_up, count.unannounced, count.repeated);
  print_buckets("since_us", &from_in, &told);
  printf(",");
  print_buckets("since_ex_us", &from_ex, &told_ex);
  printf("}\n");
  fflush(stdout);
  told = from_in;
  told_ex = from_ex;
}

/* What is known of a run but its counts and histograms: how long things took, and CPU time of the measurement. */
typedef struct {
  double seconds, connect_s, there_s, connecting_cpu_s, again_connect_s, again_s, server_s, client_s, wait_s;
  int stayed;
  long rss_kB;
} Run;

/* p50 and p99, ms. */
static void print_percentiles(const char *name, const Histogram *h) {
  printf("\"%sp50_ms\":%.3f,\"%sp99_ms\":%.3f,", name, percentile_ms(h, .5), name, percentile_ms(h, .99));
}
/* By the message that asked for the streams; of those that none asked for nothing is told. */
static void print_by_message(void) {
  for (int m = 1; m <= opt.message_count; m++)
    printf("\"msgs_of_%d\":%lu,\"announced_of_%d\":%lu,\"unannounced_of_%d\":%lu,\"behind_of_%d\":%lu,", m - 1, asked[m].frames,
           m - 1, asked[m].announced, m - 1, asked[m].unannounced, m - 1, asked[m].behind);
}
static void print_figures(const Connection *all, Run run) {
  uint64_t least = ~0ull, most = 0, streams = 0, readers = 0;
  for (int i = 0; i < opt.connections; i++) {
    for (int j = 0; j < all[i].slots; j++) streams += !!all[i].streams[j].epoch;
    if (!stays(&all[i]) || all[i].state != UP) continue;
    readers++;
    if (all[i].frames < least) least = all[i].frames;
    if (all[i].frames > most) most = all[i].frames;
  }
  printf("{");
  print_buckets("histogram_us", &from_in, NULL);
  printf("}\n");
  printf("{\"there_s\":%.3f,\"connecting_cpu\":%.3f,\"stayed\":%d,\"again_connect_s\":%.3f,\"again_s\":%.3f,", run.there_s,
         run.connecting_cpu_s / run.there_s, run.stayed, run.again_connect_s, run.again_s);
  printf("\"conns\":%d,\"failed\":%lu,\"connect_s\":%.3f,\"alive\":%d,\"readers_alive\":%lu,\"streams\":%lu,\"msgs\":%lu,"
         "\"msg_s\":%.1f,\"bytes\":%lu,", opt.connections, count.failed, run.connect_s, up, readers, streams, count.frames,
         (double)count.frames / run.seconds, count.bytes);
  print_percentiles("", &from_in);
  print_percentiles("out_", &from_out);
  print_percentiles("ex_", &from_ex);
  print_percentiles("throttled_", &from_throttled);
  print_percentiles("reply_", &reply);
  print_percentiles("handshake_", &handshake);
  printf("\"p90_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f,\"with_ex\":%lu,\"replies\":%lu,", percentile_ms(&from_in, .9),
         percentile_ms(&from_in, .999), from_in.max_us / 1e3, from_ex.n, reply.n);
  printf("\"announced\":%lu,\"announced_to_readers\":%lu,\"unannounced\":%lu,\"repeated\":%lu,\"misfit\":%lu,\"gap_frames\":%lu,"
         "\"epochs\":%lu,\"closed\":%lu,\"other\":%lu,\"min_per_conn\":%lu,\"max_per_conn\":%lu,", count.announced,
         count.announced_to_readers, count.unannounced, count.repeated, count.misfit, count.gaps, count.epochs, count.closed,
         count.other, least == ~0ull ? 0 : least, most);
  printf("\"reconnects\":%lu,\"reconnected\":%lu,\"resumed\":%lu,\"too_late\":%lu,\"not_recovered\":%lu,\"resubscribed\":%lu,",
         count.reconnects, count.reconnected, count.resumed, count.too_late, count.not_recovered, count.resubscribed);
  printf("\"refused\":%lu,\"behind\":%lu,\"behind_to_readers\":%lu,\"silent\":%lu,", count.refused, count.behind,
         count.behind_to_readers, count.silent);
  print_by_message();
  printf("\"given_up\":%lu,\"client_cpu\":%.3f,\"client_waited\":%.3f,", count.given_up, run.client_s / run.seconds,
         run.wait_s / run.seconds);
  printf("\"server_cpu\":%.6f,\"server_us_per_msg\":%.3f,\"server_rss_kB\":%ld}\n", run.server_s / run.seconds,
         count.frames ? run.server_s * 1e6 / (double)count.frames : 0, run.rss_kB);
}
