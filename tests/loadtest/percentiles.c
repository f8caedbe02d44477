/* Each line read is values in us; the answer is what a histogram of the load clients says of them. For test_histogram.py. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "_swarm_measure.h"

int main(void) {
  char *line = NULL;
  size_t room = 0;
  while (getline(&line, &room, stdin) > 0) {
    Histogram h = {0};
    char *at = line, *end;
    for (double us = strtod(at, &end); end != at; us = strtod(at, &end)) {
      record(&h, us);
      at = end;
    }
    printf("{\"ms\":[%.3f,%.3f,%.3f],\"max_us\":%.0f,", percentile_ms(&h, .5), percentile_ms(&h, .99), percentile_ms(&h, .999), h.max_us);
    print_buckets("buckets", &h, NULL);
    printf("}\n");
    fflush(stdout);
  }
  return 0;
}
