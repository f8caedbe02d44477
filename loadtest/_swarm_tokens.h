/* The tokens that the swarm's connections show, one after the other.

   Must not know what a token says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 65536 };
static char *tokens[TOKENS_MAX];
static int token_count, tokens_shown;

static void read_tokens(const char *name) {
  char line[8192];
  FILE *f = fopen(name, "r");
  if (!f) { perror(name); exit(2); }
  while (token_count < TOKENS_MAX && fgets(line, sizeof line, f)) {
    line[strcspn(line, "\r\n")] = 0;
    tokens[token_count++] = strdup(line);
  }
  fclose(f);
}
/* The header line with the next token; empty without any. */
static void next_bearer(char *line, size_t size) {
  line[0] = 0;
  if (token_count) snprintf(line, size, "Authorization: Bearer %s\r\n", tokens[tokens_shown++ % token_count]);
}
