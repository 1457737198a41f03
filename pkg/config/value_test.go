package config

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestAddressesAreReadAndPrinted(t *testing.T) {
	tests := []struct{ text, network, want string }{
		{"10.0.0.1:80", TCP4, "10.0.0.1:80"},
		{"[::]:443", TCP6, "[::]:443"},
		{"[FD00:0:0::1]:443", TCP6, "[fd00::1]:443"},
		{"unix:/run/a b.sock", Unix, "unix:/run/a b.sock"},
		{"Chat-1.example.ORG:8080", Host, "chat-1.example.org:8080"},
		{"_http.local.:1", Host, "_http.local.:1"},
		{"1st.example:65535", Host, "1st.example:65535"},
	}
	for _, tt := range tests {
		a, bad := parseBackendAddress(tt.text)
		if bad != nil || a.Network != tt.network || a.String() != tt.want {
			t.Errorf("%s: %s %s %v", tt.text, a.Network, a, bad)
		}
		if again, bad := parseBackendAddress(a.String()); bad != nil || again != a {
			t.Errorf("%s: printed and read: %+v %v", tt.text, again, bad)
		}
	}
}

func TestBadAddressesAreRefused(t *testing.T) {
	tests := []struct{ text, what string }{
		{"", `"" has no port`},
		{"10.0.0.1", `"10.0.0.1" has no port`},
		{"10.0.0.1:0", `"0" is not a port`},
		{"10.0.0.1:65536", `"65536" is not a port`},
		{"10.0.0.1:http", `"http" is not a port`},
		{":80", `":80" has no IP address`},
		{"*:80", `"*:80" has no IP address`},
		{"::1:80", "an IPv6 address needs brackets"},
		{"[10.0.0.1]:80", "only IPv6 addresses stand in brackets"},
		{"[fe80::1%eth0]:80", "a zone (%eth0) is not supported"},
		{"[::ffff:10.0.0.1]:80", "an IPv4 address is mapped into IPv6"},
		{"224.0.0.1:80", "224.0.0.1 is a multicast address"},
		{"10.0.0.300:80", `"10.0.0.300" is neither an IP address nor a host name`},
		{"-a.example:80", `"-a.example" is neither an IP address nor a host name`},
		{"a..b:80", `"a..b" is neither an IP address nor a host name`},
		{"http://a:80", "an IPv6 address needs brackets"},
		{"unix:run/a", `the socket path "run/a" is not absolute`},
		{"unix:/" + strings.Repeat("x", 107), "the socket path has 108 bytes"},
	}
	for _, tt := range tests {
		a, bad := parseBackendAddress(tt.text)
		if bad == nil || bad.what != tt.what {
			t.Errorf("%q: %+v %v, want %s", tt.text, a, bad, tt.what)
		}
	}
	if _, bad := parseListenAddress("localhost:80"); bad == nil {
		t.Error("listens on a host name")
	}
}

func TestEnvironment(t *testing.T) {
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"A": "a", "EMPTY": "", "NESTED": "${A}$$", "LATIN": "\xe9"}[name]
		return v, ok
	}
	tests := []struct{ text, want, fault string }{
		{"plain", "plain", ""},
		{"<${A}${A}>", "<aa>", ""},
		{"$$${A}$$", "$a$", ""},
		{"${NONE:-x y}", "x y", ""},
		{"${NONE:-}", "", ""},
		{"${EMPTY:-x}", "x", ""},
		{"${EMPTY}", "", ""},
		{"${NESTED}", "${A}$$", ""},
		{"${NONE}", "", "the environment variable NONE is not set"},
		{"${LATIN}", "", "the environment variable LATIN is not UTF-8"},
		{"$", "", "a `$` begins no ${NAME}"},
		{"$A", "", "a `$` begins no ${NAME}"},
		{"${A", "", "a `$` begins no ${NAME}"},
		{"${1}", "", "a `$` begins no ${NAME}"},
		{"${A-b}", "", "a `$` begins no ${NAME}"},
	}
	for _, tt := range tests {
		got, bad := expand(tt.text, env)
		if got != tt.want || (bad == nil) != (tt.fault == "") || bad != nil && bad.what != tt.fault {
			t.Errorf("%q: %q %v, want %q %q", tt.text, got, bad, tt.want, tt.fault)
		}
	}
}

func TestEnvironmentCannotChangeTheStructure(t *testing.T) {
	env := func(string) (string, bool) { return "x\"\nworkers = 9\n[relay]\nmode = \"copy", true }
	c, _, err := Parse("f", []byte("process.state_dir = \"/${A}\"\n"+shortest), Options{Env: env})
	if err == nil {
		t.Fatalf("a line break in a path: %+v", c)
	}
	c, _, err = Parse("f", []byte(frontend+pool+"[pool.health]\ntype = \"send-expect\"\nexpect = \"${A}\"\n"), Options{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := env(""); c.Pools[0].Health.Expect != want || c.Relay.Mode != RelayAuto || c.Process.Workers != 0 {
		t.Errorf("%+v", c)
	}
}

func TestDurationsAndSizesSurvivePrinting(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, seed))
	size := sizeParser(0, 1<<62)
	for range 10_000 {
		d := time.Duration(rng.Int64N(int64(maxTimer))) >> rng.IntN(40)
		if rng.IntN(2) == 0 {
			d = d.Truncate(time.Second)
		}
		if got, bad := (span{to: maxTimer, off: true}).parse(showDuration(d)); bad != nil || got != d {
			t.Fatalf("seed %d: %s printed as %s: %s %v", seed, d, showDuration(d), got, bad)
		}
		n := rng.Int64N(1<<62) >> rng.IntN(62) << rng.IntN(31) & (1<<62 - 1)
		if got, bad := size(showSize(n)); bad != nil || got != n {
			t.Fatalf("seed %d: %d printed as %s: %d %v", seed, n, showSize(n), got, bad)
		}
	}
	if got, bad := timer().parse("forever"); bad != nil || got != Forever || showDuration(got) != "forever" {
		t.Errorf("forever: %v %v", got, bad)
	}
}

func TestUserTimeoutFollowsKeepaliveAndStall(t *testing.T) {
	tests := []struct {
		name, timeouts string
		want           time.Duration
	}{
		{"defaults", "", 330 * time.Second},
		{"keepalive is longer", "stall = \"20s\"", 120 * time.Second},
		{"keepalive is off", "stall = \"20s\"\nkeepalive = \"0s\"", 50 * time.Second},
		{"stall is off", "stall = \"0s\"", 0},
		{"stall without limit", "stall = \"forever\"", 0},
		{"off", "user_timeout = \"0s\"", 0},
		{"a value", "user_timeout = \"1h\"", time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			global := mustParse(t, "[timeouts]\n"+tt.timeouts+"\n"+shortest)
			own := mustParse(t, shortest+"[frontend.timeouts]\n"+tt.timeouts)
			for _, got := range []time.Duration{global.Timeouts.UserTimeout, global.Frontends[0].Timeouts.UserTimeout, own.Frontends[0].Timeouts.UserTimeout} {
				if got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			}
		})
	}
}

func TestBalanceFactorFollowsHash(t *testing.T) {
	for _, tt := range []struct {
		lines string
		want  float64
	}{
		{"", 1.25},
		{`hash = "client"`, 0},
		{`hash = "client-prefix"`, 0},
		{"hash = \"client\"\nbalance_factor = 1.5", 1.5},
		{"balance_factor = 0", 0},
		{"balance_factor = -0.0", 0},
	} {
		c := mustParse(t, frontend+"[[pool]]\nname = \"a\"\n"+tt.lines+"\n[[pool.backend]]\nname = \"b\"\naddress = \"b:1\"")
		if got := c.Pools[0].BalanceFactor; got != tt.want || math.Signbit(got) {
			t.Errorf("%q: %v, want %v", tt.lines, got, tt.want)
		}
	}
}

func TestDistanceIsAMetric(t *testing.T) {
	if d := distance("kitten", "sitting"); d != 3 {
		t.Errorf("kitten, sitting: %d", d)
	}
	const seed = 2
	rng := rand.New(rand.NewPCG(seed, seed))
	word := func() string {
		b := make([]byte, rng.IntN(7))
		for i := range b {
			b[i] = 'a' + byte(rng.IntN(3))
		}
		return string(b)
	}
	for range 10_000 {
		a, b, c := word(), word(), word()
		ab := distance(a, b)
		if ab != distance(b, a) || (ab == 0) != (a == b) || ab > distance(a, c)+distance(c, b) {
			t.Fatalf("seed %d: %q %q %q", seed, a, b, c)
		}
	}
}

func TestUnsupportedKeysAreNamedWithTheirLine(t *testing.T) {
	c := mustParse(t, readTestdata(t, "everything.toml"))
	want := `test.toml:46: pool.odd.send_proxy: is not supported yet; write "off"
test.toml:90: frontend.f.accept_proxy_from: is not supported yet; remove it`
	if got := c.Unsupported().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if ps := mustParse(t, readTestdata(t, "contract.toml")).Unsupported(); len(ps) != 0 {
		t.Errorf("defaults: %v", ps)
	}
}
