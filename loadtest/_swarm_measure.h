/* What the swarm measures with: clocks, a histogram, and what the kernel says a process used and may use.

   Must not know what is measured. */
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct { uint64_t bucket[4096], n; double max_us; } Histogram;

static uint64_t now_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* 1 us buckets up to 64 us, then 32 a power of two: 3 % wide. The highest is the whole us above it. */
static void record(Histogram *h, double us) {
  uint64_t v = us > 0 ? (uint64_t)us : 0;
  if ((double)(v + 1) > h->max_us) h->max_us = (double)(v + 1);
  int bucket = (int)v;
  if (v >= 64) {
    int power = 63 - __builtin_clzll(v);
    bucket = 64 + (power - 6) * 32 + (int)((v >> (power - 5)) & 31);
  }
  h->bucket[bucket > 4095 ? 4095 : bucket]++;
  h->n++;
}
/* What is in a bucket took no longer than this: it ends where the next one begins, or at the highest there was. */
static double bucket_us(const Histogram *h, int i) {
  double end = i < 64 ? i + 1 : (double)((33 + (uint64_t)((i - 64) % 32)) << ((i - 64) / 32 + 1));
  return end < h->max_us ? end : h->max_us;
}
/* The end of the bucket that has it: never below the true one, and 3 % or 1 us above it at most. */
static double percentile_ms(const Histogram *h, double p) {
  uint64_t wanted = (uint64_t)((double)h->n * p), seen = 0;
  for (int i = 0; i < 4096; i++) {
    seen += h->bucket[i];
    if (seen > wanted) return bucket_us(h, i) / 1e3;
  }
  return -1;
}
/* [us, count] of each bucket that has more than it had; `had` may be NULL. */
static void print_buckets(const char *name, const Histogram *h, const Histogram *had) {
  printf("\"%s\":[", name);
  const char *between = "";
  for (int i = 0; i < 4096; i++) {
    uint64_t more = h->bucket[i] - (had ? had->bucket[i] : 0);
    if (!more) continue;
    printf("%s[%.0f,%lu]", between, bucket_us(h, i), more);
    between = ",";
  }
  printf("]");
}

/* The server's CPU time to the nanosecond, and its resident memory. */
static double server_cpu_s(pid_t server) {
  clockid_t clock;
  struct timespec t;
  if (!server || clock_getcpuclockid(server, &clock) || clock_gettime(clock, &t)) return 0;
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static long server_rss_kB(pid_t server) {
  char name[64];
  long total, resident = 0;
  snprintf(name, sizeof name, "/proc/%d/statm", (int)server);
  FILE *f = server ? fopen(name, "r") : NULL;
  if (!f) return 0;
  if (fscanf(f, "%ld %ld", &total, &resident) != 2) resident = 0;
  fclose(f);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}
static double own_cpu_s(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}
/* How long this process could have run and did not: other processes had its core (the second figure of
   /proc/self/schedstat, ns), or other machines had (the eighth of a core's line in /proc/stat, ticks; the mean of all
   cores it may use). */
static double own_wait_s(void) {
  unsigned long long waited = 0, core, stolen, all_stolen = 0;
  char line[512];
  cpu_set_t mine;
  FILE *f = fopen("/proc/self/schedstat", "r");
  if (f && fscanf(f, "%*u %llu", &waited) != 1) waited = 0;
  if (f) fclose(f);
  if (sched_getaffinity(0, sizeof mine, &mine)) CPU_ZERO(&mine);
  int cores = CPU_COUNT(&mine);
  f = cores ? fopen("/proc/stat", "r") : NULL;
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "cpu%llu %*u %*u %*u %*u %*u %*u %*u %llu", &core, &stolen) == 2 && core < CPU_SETSIZE && CPU_ISSET(core, &mine))
      all_stolen += stolen;
  if (f) fclose(f);
  return (double)waited / 1e9 + (cores ? (double)all_stolen / cores / (double)sysconf(_SC_CLK_TCK) : 0);
}
static void raise_open_files(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}
