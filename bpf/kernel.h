//go:build ignore

// The few declarations of the kernel's <linux/bpf.h> that steer.c uses, so that it compiles with clang alone and the
// same everywhere. Numbers and layouts are the kernel's ABI.

typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define MAP_ENTRIES(n) int(*max_entries)[n]
#define MAP_TYPE(n) int(*type)[n]
#define MAP_FLAGS(n) int(*map_flags)[n]

enum {
	ARRAY = 2,              // BPF_MAP_TYPE_*
	PERCPU_ARRAY = 6,
	REUSEPORT_SOCKARRAY = 20,
	MMAPABLE = 1 << 10,     // BPF_F_MMAPABLE, Linux 5.5
	PASS = 1,               // SK_PASS
};

struct sk_reuseport_md; // the context: steer.c only hands it on

static void *(*map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*ktime_get_ns)(void) = (void *)5;
static u32 (*get_smp_processor_id)(void) = (void *)8;
static long (*sk_select_reuseport)(struct sk_reuseport_md *, void *map, void *key, u64 flags) = (void *)82;
