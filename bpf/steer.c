//go:build ignore

// steer chooses the listener of a new connection among those of one address, one a worker. The kernel runs it for a SYN
// (and again for the last ACK of the handshake where a SYN cookie was sent), on the CPU that received the packet.
//
// The choice is the worker of this CPU: the packet is in that CPU's caches, and where workers are pinned its thread is
// there too. But the worker that holds least is taken where the CPU's has drifted away from the others, and where it
// does not wake up. If nothing can be chosen, the kernel spreads by its own hash.

#include "kernel.h"

#define MAX_WORKERS 128
#define DRIFT_PERCENT 102      // of the workers' mean load that the CPU's worker may have,
#define DRIFT_SESSIONS 8       // and these on top: a mean of 2 means nothing
#define ASLEEP_NS 50000000ULL  // how long a worker may leave a connection alone before others are preferred

#define NONE (~0ULL)

// cell is what is known of one worker. Program and worker each write a cache line of their own.
struct cell {
	u64 given; // connections sent to it, ever
	u64 since; // ns: when it was sent the first of those that it has not had a turn for
	u64 ours[6];
	u64 seen;     // given, when its last turn ended
	u64 sessions; // that it held then
	u64 id;       // its own place, which the verifier must not know: it would follow every choice apart
	u64 its[5];
};

struct {
	MAP_TYPE(ARRAY);
	MAP_FLAGS(MMAPABLE);
	MAP_ENTRIES(1); // as many as workers: set when it is loaded
	u32 *key;
	struct cell *value;
} cells SEC(".maps");

// sockets are the listeners of one address, by worker.
struct {
	MAP_TYPE(REUSEPORT_SOCKARRAY);
	MAP_ENTRIES(1);
	u32 *key;
	u64 *value;
} sockets SEC(".maps");

enum { BY_CPU, LEAST_LOADED, BY_KERNEL, WAYS };

// steered counts decisions by the way they were made.
struct {
	MAP_TYPE(PERCPU_ARRAY);
	MAP_ENTRIES(WAYS);
	u32 *key;
	u64 *value;
} steered SEC(".maps");

const volatile u32 workers = 1;

static inline void count(u32 way)
{
	u64 *n = map_lookup_elem(&steered, &way);
	if (n)
		*n += 1;
}

static inline struct cell *cell_of(u32 worker) { return map_lookup_elem(&cells, &worker); }

// load is the sessions of a worker and those on their way to it. seen is read first: it never exceeds given.
static inline u64 load(volatile struct cell *c)
{
	u64 seen = c->seen;
	return c->sessions + (c->given - seen);
}

// asleep says that a worker has had a connection for ASLEEP_NS and made no turn: its thread is stopped or starved. A
// worker that has nothing to do sleeps too, but it has nothing to see.
static inline int asleep(volatile struct cell *c, u64 now)
{
	return c->given != c->seen && (long long)(now - c->since) > (long long)ASLEEP_NS;
}

// choose sets *worker, and returns the way.
static inline u32 choose(u32 *worker, u64 now)
{
	u32 own = get_smp_processor_id() % workers;
	u64 sum = 0, awake = 0, least = NONE, own_load = NONE, best = own;

	for (u32 i = 0; i < MAX_WORKERS && i < workers; i++) {
		volatile struct cell *c = cell_of(i);
		if (!c)
			break;
		if (asleep(c, now))
			continue;
		u64 l = load(c), id = c->id;
		if (l < least) {
			least = l;
			best = id;
		}
		if (id == own)
			own_load = l;
		sum += l;
		awake++;
	}
	*worker = own;
	if (least == NONE) // nobody is awake: one is as good as the other
		return BY_CPU;
	if (own_load != NONE && own_load * awake * 100 <= sum * DRIFT_PERCENT + awake * 100 * DRIFT_SESSIONS)
		return BY_CPU;
	*worker = best;
	return LEAST_LOADED;
}

// hand notes that a worker gets a connection.
static inline void hand(u32 worker, u64 now)
{
	volatile struct cell *c = cell_of(worker);
	if (!c)
		return;
	if (c->given == c->seen)
		c->since = now;
	__sync_fetch_and_add(&c->given, 1);
}

SEC("sk_reuseport")
int steer(struct sk_reuseport_md *connection)
{
	u64 now = ktime_get_ns();
	u32 worker;
	u32 way = choose(&worker, now);

	if (sk_select_reuseport(connection, &sockets, &worker, 0) == 0)
		hand(worker, now);
	else // its slot is empty
		way = BY_KERNEL;
	count(way);
	return PASS;
}

char _license[] SEC("license") = "Apache-2.0";
