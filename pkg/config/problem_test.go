package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// problemsOf returns what Parse says, one message a line; "" if nothing.
func problemsOf(text string, opt Options) string {
	if opt.Env == nil {
		opt.Env = noEnv
	}
	_, _, err := Parse("f", []byte(text), opt)
	if err == nil {
		return ""
	}
	return err.Error()
}

// frontend and pool are valid; broken files put a line under them.
const (
	frontend = "[[frontend]]\nname = \"a\"\nlisten = [\"10.0.0.1:80\"]\n"
	pool     = "[[pool]]\nname = \"a\"\n[[pool.backend]]\nname = \"b\"\naddress = \"10.0.0.2:80\"\n"
)

func TestBrokenFilesAreRefusedWithTheirLine(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", `f:1: frontend: is missing; write [[frontend]] with name, listen and backends`},
		{"key set twice", "a = 1\n\na = 2", "f:3: a: key 'a' has already been defined; the file has to be TOML: https://toml.io"},
		{"unterminated string", "\nname = \"x\n", "f:2: name: strings cannot contain newlines; the file has to be TOML: https://toml.io"},

		{"unknown section", "[relya]\n" + shortest, "f:1: relya: unknown key; did you mean `relay`?"},
		{"unknown key, a near one", shortest + "max_session = 1", "f:5: frontend.chat.max_session: unknown key; did you mean `max_sessions`?"},
		{"unknown key, its beginning", frontend + pool + "[[pool]]\nbalance = 1\nname=\"c\"\nbackend=[{name=\"d\", address=\"10.0.0.2:80\"}]", "f:10: pool.c.balance: unknown key; did you mean `balance_factor`?"},
		{"unknown key, of another section", shortest + "weight = 1", "f:5: frontend.chat.weight: unknown key; it belongs in [[pool.backend]]"},
		{"unknown key, like no other", shortest + "qqqqqqqqq = 1", "f:5: frontend.chat.qqqqqqqqq: unknown key; the nearest known key is `name`"},

		{"table for array", "[frontend]\nname = \"a\"", "f:1: frontend: is a table, not an array of tables; write [[frontend]]"},
		{"array for table", "[[process]]\n" + shortest, "f:1: process: is an array of tables, not a table; write [process], once"},
		{"value for nested table", frontend + "pool = \"a\"\ntimeouts = 3\n" + pool, "f:5: frontend.a.timeouts: is a whole number, not a table; write [frontend.timeouts], once"},
		{"table for backends", frontend + "[[pool]]\nname = \"a\"\n[pool.backend]\nname = \"b\"", "f:6: pool.a.backend: is a table, not an array of tables; write [[pool.backend]]"},

		{"string for number", "process.workers = \"3\"\n" + shortest, "f:1: process.workers: is a string, not a whole number; write a whole number from 0 to 1024"},
		{"number for duration", "timeouts.idle = 30\n" + shortest, `f:1: timeouts.idle: is a whole number, not a string; write a duration in quotes, "30s"`},
		{"string for boolean", shortest + `freebind = "yes"`, `f:5: frontend.chat.freebind: is a string, not a boolean; write true or false`},
		{"string for array", "[[frontend]]\nname = \"a\"\nlisten = \"0.0.0.0:80\"\nbackends = [\"b:80\"]", `f:3: frontend.a.listen: is a string, not an array; write ["...", "..."]`},
		{"number in array", "[[frontend]]\nname = \"a\"\nlisten = [\n\"0.0.0.0:80\",\n81]\nbackends = [\"b:80\"]", `f:5: frontend.a.listen: is a whole number, not a string; write "0.0.0.0:443"`},
		{"date", shortest + "backlog = 2020-01-01", "f:5: frontend.chat.backlog: is a date or time, not a whole number; write a whole number from 0 to 2147483647"},

		{"negative number", shortest + "max_sessions = -1", "f:5: frontend.chat.max_sessions: -1 is out of range; write a whole number from 0 to 2147483647"},
		{"weight too large", frontend + pool + "weight = 1001", "f:9: pool.a.backend.b.weight: 1001 is out of range; write a whole number from 0 to 1000"},
		{"rise of zero", frontend + pool + "[pool.health]\nrise = 0", "f:10: pool.a.health.rise: 0 is out of range; write a whole number from 1 to 1000"},
		{"share above one", "process.shed_at_tcp_mem = 1.5\n" + shortest, "f:1: process.shed_at_tcp_mem: 1.5 is out of range; write a share from 0.0 to 1.0"},
		{"share that is no number", "process.shed_at_tcp_mem = nan\n" + shortest, "f:1: process.shed_at_tcp_mem: NaN is out of range; write a share from 0.0 to 1.0"},
		{"factor below one", frontend + "pool=\"p\"\n[[pool]]\nname = \"p\"\nbalance_factor = 0.9\nbackend = [{name = \"b\", address = \"b:1\"}]", "f:7: pool.p.balance_factor: 0.9 is out of range; write 0 for off, or a factor from 1.0 to 1000.0"},
		{"client prefix", shortest + "client_prefix = [33, 64]", "f:5: frontend.chat.client_prefix: [33, 64] is out of range; write [32, 64]: bits of IPv4, 1 to 32, and of IPv6, 1 to 128"},
		{"client prefix of one", shortest + "client_prefix = [32]", "f:5: frontend.chat.client_prefix: is not a pair of numbers; write [32, 64]: bits of IPv4, 1 to 32, and of IPv6, 1 to 128"},

		{"word that is none of a few", "[process]\nlog_level = \"verbose\"\n" + shortest, `f:2: process.log_level: "verbose" is not known here; write one of "debug", "info", "warn", "error"`},
		{"bad duration", "timeouts.idle = \"1 h\"\n" + shortest, `f:1: timeouts.idle: "1 h" is not a duration; write a duration from "1ms" to "576h", or "0s" for off, or "forever"`},
		{"negative duration", "timeouts.idle = \"-1s\"\n" + shortest, `f:1: timeouts.idle: "-1s" is out of range; write a duration from "1ms" to "576h", or "0s" for off, or "forever"`},
		{"forever where it cannot be", "process.lame_duck = \"forever\"\n" + shortest, `f:1: process.lame_duck: "forever" is not possible here; write a duration from "1ms" to "1h", or "0s" for off`},
		{"keepalive in fractions", "timeouts.keepalive = \"1500ms\"\n" + shortest, `f:1: timeouts.keepalive: "1500ms" is not a multiple of 1s; write a duration from "1s" to "9h6m7s", or "0s" for off`},
		{"keepalive probes", "timeouts.keepalive_probes = 128\n" + shortest, `f:1: timeouts.keepalive_probes: 128 is out of range; write a whole number from 1 to 127`},
		{"bad size", "relay.pipe_bytes = \"1MB\"\n" + shortest, `f:1: relay.pipe_bytes: "1MB" is not a size; write a size from "4KiB" to "64MiB", in B, KiB, MiB or GiB`},
		{"size out of range", "relay.buffer_bytes = \"9223372036854775807GiB\"\n" + shortest, `f:1: relay.buffer_bytes: "9223372036854775807GiB" is out of range; write a size from "4KiB" to "64MiB", in B, KiB, MiB or GiB`},

		{"user_timeout below keepalive and stall", "[timeouts]\nuser_timeout = \"5m\"\n" + shortest, `f:2: timeouts.user_timeout: "5m" would end healthy sessions: keepalive and stall need 5m30s; write "auto", "0s" for off, or at least "5m30s"`},
		{"user_timeout below keepalive alone", "[timeouts]\nstall = \"10s\"\nuser_timeout = \"119s\"\n" + shortest, `f:3: timeouts.user_timeout: "1m59s" would end healthy sessions: keepalive and stall need 2m; write "auto", "0s" for off, or at least "2m"`},
		{"user_timeout without limit of stall", "[timeouts]\nstall = \"0s\"\nuser_timeout = \"2h\"\n" + shortest, `f:3: timeouts.user_timeout: "2h" would end sessions that may stall without limit; write "0s" or "auto", or limit stall`},
		{"user_timeout inherited by a longer stall", "[timeouts]\nuser_timeout = \"10m\"\n" + shortest + "[frontend.timeouts]\nstall = \"20m\"", `f:7: frontend.chat.timeouts.user_timeout: "10m" would end healthy sessions: keepalive and stall need 20m30s; write "auto", "0s" for off, or at least "20m30s"`},
		{"auto beyond the kernel's timer", "[timeouts]\nkeepalive_interval = \"5h\"\nkeepalive_probes = 127\n" + shortest, `f:1: timeouts.user_timeout: keepalive + keepalive_interval * keepalive_probes is 635h1m; keep it within 576h`},

		{"no name", "[[frontend]]\nlisten = [\"10.0.0.1:80\"]\npool = \"a\"\n" + pool, `f:1: frontend[0].name: is missing; write name = "..."`},
		{"name with a space", "[[frontend]]\nname = \"a b\"\nlisten = [\"10.0.0.1:80\"]\npool = \"a\"\n" + pool, `f:2: frontend[0].name: "a b" cannot be a name; write 1 to 128 letters, digits or -_.:/`},
		{"frontend called twice", frontend + "[[frontend]]\nname = \"a\"\nlisten = [\"10.0.0.1:81\"]\n" + pool, `f:5: frontend.a.name: the frontend at f:2 is called "a", too; give each its own name`},
		{"pool called twice", frontend + pool + pool, `f:10: pool.a.name: the pool at f:5 is called "a", too; give each its own name`},
		{"backend called twice", frontend + pool + "[[pool.backend]]\nname = \"b\"\naddress = \"10.0.0.3:80\"", `f:10: pool.a.backend.b.name: the backend at f:7 is called "b", too; give each its own name`},
		{"backend listed twice", "[[frontend]]\nname = \"a\"\nlisten = [\"10.0.0.1:80\"]\nbackends = [\n\"b:1\",\n\"B:1\"]", `f:6: frontend.a.backends: the backend at f:5 is called "b:1", too; give each its own name`},

		{"no listen", "[[frontend]]\nname = \"a\"\n" + pool, `f:1: frontend.a.listen: is missing; write listen = ["0.0.0.0:443"]`},
		{"empty listen", "[[frontend]]\nname = \"a\"\nlisten = []\n" + pool, `f:3: frontend.a.listen: is empty; write listen = ["0.0.0.0:443"]`},
		{"pool that is not there", frontend + "pool = \"chta\"\n" + strings.ReplaceAll(pool, `"a"`, `"chat"`), `f:4: frontend.a.pool: no pool is called "chta"; did you mean "chat"?`},
		{"no pool", frontend + strings.ReplaceAll(pool, `"a"`, `"chat"`), `f:1: frontend.a.pool: is missing, and no pool is called "a"; name a pool, or write backends = [...]`},
		{"pool and backends", frontend + "pool = \"a\"\nbackends = [\"b:1\"]\n" + pool, `f:5: frontend.a.backends: is the short form of a pool, and pool is set too; keep one of them`},
		{"pool that is no name", frontend + "pool = 3\n" + pool, `f:4: frontend.a.pool: is a whole number, not a string; write "chat"`},
		{"no backends", frontend + "backends = []", `f:4: frontend.a.backends: is empty; a pool needs at least one backend`},
		{"pool without a backend", frontend + "[[pool]]\nname = \"a\"", `f:4: pool.a.backend: the pool has no backend; write [[pool.backend]] below it`},
		{"backend without an address", frontend + "[[pool]]\nname = \"a\"\n[[pool.backend]]\nname = \"b\"", `f:6: pool.a.backend.b.address: is missing; write address = "10.0.1.1:8080"`},

		{"listener twice in one frontend", "[[frontend]]\nname = \"a\"\nlisten = [\"[::1]:80\",\n\"[0:0::1]:80\"]\n" + pool, `f:4: frontend.a.listen: [::1]:80 is already used by frontend.a at f:3; give each its own address`},
		{"listener that is the status page", "process.http = \"127.0.0.1:80\"\n[[frontend]]\nname = \"a\"\nlisten = [\"0.0.0.0:80\"]\n" + pool, `f:4: frontend.a.listen: 0.0.0.0:80 is already used by process.http at f:1; give each its own address`},
		{"listener that is the admin socket", "[[frontend]]\nname = \"a\"\nlisten = [\"unix:/run/longsplice/admin.sock\"]\n" + pool, `f:3: frontend.a.listen: unix:/run/longsplice/admin.sock is already used by process.admin at f:1; give each its own address`},
		{"backend that is a listener", frontend + "backends = [\"10.0.0.1:80\"]", `f:4: frontend.a.backends: 10.0.0.1:80 is 10.0.0.1:80 of frontend.a: a loop; write the address of a server`},
		{"backend behind a wildcard", "[[frontend]]\nname = \"a\"\nlisten = [\"[::]:80\"]\nbackends = [\"[::1]:80\"]", `f:4: frontend.a.backends: [::1]:80 is [::]:80 of frontend.a: a loop; write the address of a server`},
		{"backend called localhost", "[[frontend]]\nname = \"a\"\nlisten = [\"127.0.0.1:80\"]\nbackends = [\"LocalHost:80\"]", `f:4: frontend.a.backends: localhost:80 is 127.0.0.1:80 of frontend.a: a loop; write the address of a server`},
		{"backend without an own address", frontend + "backends = [\"0.0.0.0:81\"]", `f:4: frontend.a.backends: 0.0.0.0:81 is the address of no server; write the one it is reached by`},

		{"table size that is no prime", frontend + "[[pool]]\nname = \"a\"\ntable_size = 65536\nbackend = [{name = \"b\", address = \"b:1\"}]", `f:6: pool.a.table_size: 65536 is not a prime; the next one is 65537`},
		{"table smaller than the pool", frontend + "[[pool]]\nname = \"a\"\ntable_size = 2\nbackend = [{name = \"b\", address = \"b:1\"}, {name = \"c\", address = \"c:1\"}, {name = \"d\", address = \"d:1\"}]", `f:6: pool.a.table_size: 2 is less than the 3 backends; write a prime of at least 100 per backend, such as 307`},
		{"local ports below 1024", frontend + "[[pool]]\nname = \"a\"\nlocal_ports = \"80-2000\"\nbackend = [{name = \"b\", address = \"b:1\"}]", `f:6: pool.a.local_ports: "80-2000" begins below 1024; use ports from 1024 to 65535`},
		{"local ports just below 1024", frontend + "[[pool]]\nname = \"a\"\nlocal_ports = \"1023-2000\"\nbackend = [{name = \"b\", address = \"b:1\"}]", `f:6: pool.a.local_ports: "1023-2000" begins below 1024; use ports from 1024 to 65535`},
		{"inside an inline table of several lines", frontend + "[[pool]]\nname = \"a\"\nbackend = [\n{name = \"b\",\n address = \"b:1\",\n weight = -1}]", `f:9: pool.a.backend.b.weight: -1 is out of range; write a whole number from 0 to 1000`},
		{"local ports over a listener", "[[frontend]]\nname = \"a\"\nlisten = [\"10.0.0.1:8080\"]\n[[pool]]\nname = \"a\"\nlocal_ports = \"8000-9000\"\nbackend = [{name = \"b\", address = \"b:1\"}]", `f:6: pool.a.local_ports: "8000-9000" holds the port of frontend.a, 10.0.0.1:8080; choose a range without any listening port`},
		{"range of addresses", frontend + "[[pool]]\nname = \"a\"\nsource_addresses = [\"10.0.0.9-10.0.0.1\"]\nbackend = [{name = \"b\", address = \"b:1\"}]", `f:6: pool.a.source_addresses: "10.0.0.9-10.0.0.1" ends before it begins; write the lower address first`},
		{"source address twice", frontend + "[[pool]]\nname = \"a\"\nsource_addresses = [\"10.0.0.1-10.0.0.9\", \"10.0.0.9\"]\nbackend = [{name = \"b\", address = \"10.0.1.1:1\"}]", `f:6: pool.a.source_addresses: "10.0.0.1-10.0.0.9" and "10.0.0.9" have an address in common; write each address once`},
		{"too many source addresses", frontend + "[[pool]]\nname = \"a\"\nsource_addresses = [\"10.0.0.1-10.0.3.255\", \"fd00::-fd01::\"]\nbackend = [{name = \"b\", address = \"10.0.1.1:1\"}]", `f:6: pool.a.source_addresses: makes more than 1024 addresses; write fewer`},
		{"no source of the backend's family", frontend + "[[pool]]\nname = \"a\"\nsource_addresses = [\"10.0.0.1\"]\nbackend = [{name = \"b\", address = \"10.0.1.1:1\"}, {name = \"c\", address = \"[fd00::1]:1\"}]", `f:6: pool.a.source_addresses: holds no IPv6 address, and [fd00::1]:1 is one; add one, or give that backend a pool of its own`},
		{"no source of the other family", frontend + "[[pool]]\nname = \"a\"\nsource_addresses = [\"fd00::2\"]\nbackend = [{name = \"b\", address = \"10.0.1.1:1\"}, {name = \"c\", address = \"[fd00::1]:1\"}]", `f:6: pool.a.source_addresses: holds no IPv4 address, and 10.0.1.1:1 is one; add one, or give that backend a pool of its own`},
		{"bad CIDR", shortest + "deny = [\"10.0.0.0/33\"]", `f:5: frontend.chat.deny: "10.0.0.0/33" is not a CIDR; write "10.0.0.0/8" or "fd00::/8"`},
		{"CIDR beyond its mask", shortest + "allow = [\"10.1.0.0/8\"]", `f:5: frontend.chat.allow: "10.1.0.0/8" has bits beyond its mask; write "10.0.0.0/8"`},
		{"status page for everybody", "[process]\nhttp = \"0.0.0.0:8404\"\n" + shortest, `f:2: process.http: 0.0.0.0:8404 is reachable from other hosts, and there is no token; set http_token_file, or listen on 127.0.0.1`},
		{"expectation of nothing", frontend + pool + "[pool.health]\ntype = \"send-expect\"", `f:9: pool.a.health.expect: is missing: a "send-expect" check waits for it; write expect = "..."`},

		{"unset variable", "[process]\nname = \"${HOST}\"\n" + shortest, `f:2: process.name: the environment variable HOST is not set; set it, or write ${HOST:-default}`},
		{"unset variable in an array", "[[frontend]]\nname = \"a\"\nlisten = [\n\"${IP}:80\"]\n" + pool, `f:4: frontend.a.listen: the environment variable IP is not set; set it, or write ${IP:-default}`},
		{"lone dollar", "process.name = \"$HOST\"\n" + shortest, "f:1: process.name: a `$` begins no ${NAME}; write `$$` for the character itself"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, problemsOf(tt.text, Options{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	got := problemsOf(readTestdata(t, "fifteen.toml"), Options{})
	want := strings.TrimSpace(readTestdata(t, "fifteen.txt"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if n := len(strings.Split(got, "\n")); n != 15 {
		t.Errorf("%d problems", n)
	}
}

func TestUnknownKeysCanBeIgnored(t *testing.T) {
	text := "[process]\nnew_key = 1\nworkers = -1\n" + shortest
	_, warnings, err := Parse("f", []byte(text), Options{IgnoreUnknownKeys: true})
	if got, want := err.Error(), "f:3: process.workers: -1 is out of range; write a whole number from 0 to 1024"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(warnings) != 1 || warnings[0].Line != 2 {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestWhatIsAllowed(t *testing.T) {
	tests := []struct{ name, text string }{
		{"a wildcard and one of its addresses", frontend + "[[frontend]]\nname = \"w\"\nlisten = [\"0.0.0.0:80\"]\npool = \"a\"\n" + pool},
		{"one address on two interfaces", frontend + "interface = \"eth0\"\n[[frontend]]\nname = \"w\"\nlisten = [\"10.0.0.1:80\"]\ninterface = \"eth1\"\npool = \"a\"\n" + pool},
		{"both families on one port", "[[frontend]]\nname = \"a\"\nlisten = [\"0.0.0.0:80\", \"[::]:80\"]\n" + pool},
		{"another loopback address than the listener's", "[[frontend]]\nname = \"a\"\nlisten = [\"127.0.0.1:80\"]\nbackends = [\"127.0.0.2:80\"]"},
		{"localhost beside a listener that is elsewhere", frontend + "backends = [\"localhost:80\"]"},
		{"local ports from 1024", frontend + "[[pool]]\nname = \"a\"\nlocal_ports = \"1024-2000\"\nbackend = [{name = \"b\", address = \"b:1\"}]"},
		{"sources for names of either family", frontend + "[[pool]]\nname = \"a\"\nsource_addresses = [\"10.0.0.1\"]\nbackend = [{name = \"b\", address = \"b:1\"}]"},
		{"as many sources as can be", frontend + "[[pool]]\nname = \"a\"\nsource_addresses = [\"10.0.0.1-10.0.3.255\", \"fd00::1\"]\nbackend = [{name = \"b\", address = \"10.0.1.1:1\"}]"},
		{"local ports of all addresses", frontend + "[[pool]]\nname = \"a\"\nlocal_ports = \"10000-10001\"\nbackend = [{name = \"b\", address = \"10.0.1.1:1\"}]"},
		{"a small table where none is used", frontend + "[[pool]]\nname = \"a\"\nalgorithm = \"round_robin\"\ntable_size = 2\nbackend = [{name = \"b\", address = \"b:1\"}, {name = \"c\", address = \"c:1\"}, {name = \"d\", address = \"d:1\"}]"},
		{"a pool of the frontend's name", frontend + pool},
		{"a status page for everybody with a token", "process.http = \"[::]:1\"\nprocess.http_token_file = \"/t\"\n" + frontend + pool},
		{"the least user_timeout", "timeouts.user_timeout = \"5m30s\"\n" + frontend + pool},
		{"no user_timeout", "timeouts.user_timeout = \"0s\"\n" + frontend + pool},
		{"comments, tabs and carriage returns", "# x\r\n\t" + strings.ReplaceAll(frontend+pool, "\n", "\t# y\r\n")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := problemsOf(tt.text, Options{}); got != "" {
				t.Error(got)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"timeout above interval", frontend + pool + "[pool.health]\ntimeout = \"3s\"", "f:10: pool.a.health.timeout: 3s is longer than the interval, 2s; a check that hangs delays the next one; keep it shorter"},
		{"key of another check", frontend + pool + "[pool.health]\npath = \"/x\"", `f:10: pool.a.health.path: has no meaning for checks of type "tcp"; it is for "http", "websocket"`},
		{"pool without a frontend", shortest + pool, "f:6: pool.a.name: no frontend uses this pool; remove it, or name it in a frontend"},
		{"one address twice", frontend + pool + "[[pool.backend]]\nname = \"c\"\naddress = \"10.0.0.2:80\"", "f:11: pool.a.backend.c.address: 10.0.0.2:80 is the address of b, too; give that one more weight instead"},
		{"small table", frontend + "[[pool]]\nname = \"a\"\ntable_size = 97\nbackend = [{name = \"b\", address = \"b:1\"}]", "f:6: pool.a.table_size: 97 makes uneven shares for 1 backends; write a prime of at least 100 per backend, such as 101"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings, err := Parse("f", []byte(tt.text), Options{Env: noEnv})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, Problems(warnings).Error()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
