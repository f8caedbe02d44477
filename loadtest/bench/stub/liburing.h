/* Just enough of liburing for the C floor to compile where liburing is not installed; its -u option then fails. */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IORING_SETUP_SINGLE_ISSUER 0
#define IORING_SETUP_COOP_TASKRUN 0
#define IOSQE_FIXED_FILE 0
#define io_uring_for_each_cqe(ring, head, cqe) for ((head) = 0, (cqe) = NULL; (cqe) != NULL; (head)++)

struct io_uring { int unused; };
struct io_uring_sqe { int flags; uint64_t user_data; };
struct io_uring_cqe { int res; };

static inline int io_uring_queue_init(unsigned n, struct io_uring *r, unsigned f) { (void)n, (void)r, (void)f; return -1; }
static inline int io_uring_register_files(struct io_uring *r, const int *f, unsigned n) { (void)r, (void)f, (void)n; return -1; }
static inline struct io_uring_sqe *io_uring_get_sqe(struct io_uring *r) { (void)r; return NULL; }
static inline void io_uring_prep_send(struct io_uring_sqe *e, int s, const void *b, size_t n, int f) { (void)e, (void)s, (void)b, (void)n, (void)f; }
static inline int io_uring_submit_and_wait(struct io_uring *r, unsigned n) { (void)r, (void)n; return -1; }
static inline void io_uring_cq_advance(struct io_uring *r, unsigned n) { (void)r, (void)n; }
