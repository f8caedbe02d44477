/* What the swarm reads of a message: single fields of flat JSON, numbers, and hashes of texts.

   Must not know which fields there are. */
#include <stdint.h>
#include <string.h>

typedef struct { const char *at; int len; } Text;

/* The value of `"name":` at or after *from; advances *from past it, since fields come in the protocol's order. */
static Text field(const char **from, const char *end, const char *name, int name_len) {
  const char *at = memmem(*from, (size_t)(end - *from), name, (size_t)name_len);
  if (!at) return (Text){NULL, 0};
  at += name_len;
  const char *stop = at;
  if (at < end && *at == '"') for (stop = ++at; stop < end && *stop != '"'; stop++) {}
  else for (; stop < end && *stop != ',' && *stop != '}'; stop++) {}
  *from = stop;
  return (Text){at, (int)(stop - at)};
}
#define FIELD(from, end, name) field(from, end, "\"" name "\":", sizeof name + 2)

static const uint64_t HASH_START = 14695981039346656037ull; /* FNV-1a */
static uint64_t hash(uint64_t h, Text t) {
  for (int i = 0; i < t.len; i++) h = (h ^ (uint8_t)t.at[i]) * 1099511628211ull;
  return h;
}
static int64_t number(Text t) {
  int64_t v = 0;
  for (int i = 0; i < t.len && t.at[i] >= '0' && t.at[i] <= '9'; i++) v = v * 10 + (t.at[i] - '0');
  return v;
}
/* The first name in a list, or in an object, that begins at `list`. */
static Text first_name(Text list, const char *end) {
  const char *opens = list.at ? memchr(list.at, '"', (size_t)(end - list.at)) : NULL;
  const char *closes = opens ? memchr(opens + 1, '"', (size_t)(end - opens - 1)) : NULL;
  return closes ? (Text){opens + 1, (int)(closes - opens - 1)} : (Text){NULL, 0};
}
/* The first name in `"symbols":[..]`. */
static Text first_symbol(const char *from, const char *end) {
  return first_name(FIELD(&from, end, "symbols"), end);
}
