/* What is told while it is measured: a line of JSON with what came since the one before, and what was missed so far.

   Part of _swarm.c: knows its connections, counts and histograms. Must not know sockets. */

static int lost_of_those_who_stay(const Connection *all) {
  int lost = 0;
  for (int i = 0; i < opt.connections; i++) lost += stays(&all[i]) && all[i].state != UP;
  return lost;
}
static void tell_when_due(const Connection *all, uint64_t now) {
  static uint64_t due, before;
  static double cpu_s, wait_s;
  static Histogram told;
  if (now < due) return;
  due = now + (uint64_t)opt.tell_ms * 1000000ull;
  double cpu = own_cpu_s(), wait = own_wait_s(), took_s = (double)(now - before) / 1e9;
  if (before) printf("{\"client_cpu\":%.3f,\"client_waited\":%.3f,", (cpu - cpu_s) / took_s, (wait - wait_s) / took_s);
  else printf("{");
  before = now, cpu_s = cpu, wait_s = wait;
  printf("\"conns\":%d,\"alive\":%d,\"lost\":%d,\"given_up\":%lu,\"unannounced\":%lu,\"repeated\":%lu,", opt.connections, up,
         lost_of_those_who_stay(all), count.given_up, count.unannounced, count.repeated);
  print_buckets("since_us", &from_in, &told);
  printf("}\n");
  fflush(stdout);
  told = from_in;
}
