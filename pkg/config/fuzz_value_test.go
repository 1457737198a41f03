package config

import (
	"errors"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// values are the parsers of single strings, each with how a value is written again.
var values = map[string]func(string) (again string, bad *fault){
	"duration":    readAgain(span{from: time.Millisecond, to: maxTimer, off: true, forever: true}.parse, showDurationText),
	"whole":       readAgain(span{from: time.Second, to: time.Hour, whole: time.Second}.parse, showDurationText),
	"size":        readAgain(sizeParser(kib, gib), func(n int64) string { return showText(showSize(n)) }),
	"prefix":      readAgain(parsePrefix, showPrefix),
	"addresses":   readAgain(parseAddrRange, showAddrRange),
	"ports":       readAgain(parsePortRange, showPortRange),
	"status":      readAgain(parseStatusRange, showStatusRange),
	"userTimeout": readAgain(userTimeout, showUserTimeout),
	"backend":     readAgain(parseBackendAddress, showAddress),
	"listen":      readAgain(parseListenAddress, showAddress),
	"tcp":         readAgain(optionalTCP, showAddress),
	"name":        readAgain(nameText, showText),
	"interface":   readAgain(interfaceText, showText),
	"path":        readAgain(optionalPath, showText),
	"socket":      readAgain(socketPath, showText),
	"accessLog":   readAgain(accessLog, showText),
	"urlPath":     readAgain(urlPath, showText),
	"header":      readAgain(headerText, showText),
	"text":        readAgain(anyText, showText),
}

func showDurationText(d time.Duration) string { return showText(showDuration(d)) }

// readAgain parses, writes the value as TOML and returns what a reader of that gets.
func readAgain[T any](parse func(string) (T, *fault), show func(T) string) func(string) (string, *fault) {
	return func(s string) (string, *fault) {
		v, bad := parse(s)
		if bad != nil {
			return "", bad
		}
		t, syntax := parseDocument("printed", []byte("v = "+show(v)+"\n"))
		if syntax != nil {
			return "", wrong("printed as "+show(v), syntax.What)
		}
		text, _ := t.values["v"].raw.(string)
		again, bad := expand(text, noEnv)
		return again, bad
	}
}

// FuzzValue holds that a value which is read and printed is read as the same again, and that a fault says what is wrong
// and what would be right.
func FuzzValue(f *testing.F) {
	for _, s := range []string{
		"", "auto", "forever", "0s", "1h30m", "250ms", "9223372036s", "-1s", "1.5s", "1MiB", "64 KiB", "9223372036854775807B", "8EiB",
		"10.0.0.0/8", "fd00::/8", "10.0.0.1/8", "::ffff:10.0.0.0/104", "10.0.0.10-10.0.0.20", "fd00::10", "fe80::1%eth0-fe80::2", "10000-32000",
		"200-399", "204", "+200-0399", "10.0.0.1:80", "[fd00::1]:80", "[::ffff:10.0.0.1]:80", "unix:/run/a.sock", "unix:@a", "Chat.Example:080",
		"[fe80::1%25eth0]:80", "eth0", "..", "/healthz?a=$b%20", "a\x00b", "\u202e", "\xff", "$$", "${A}", strings.Repeat("a", 254) + ":1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?") // TOML is UTF-8
		for name, read := range values {
			shown, bad := read(s)
			if bad != nil {
				if bad.what == "" || bad.remedy == "" || strings.HasPrefix(bad.what, "printed as") {
					t.Fatalf("%s %q: %+v", name, s, bad)
				}
				continue
			}
			if again, bad := read(shown); bad != nil || again != shown {
				t.Fatalf("%s %q: printed as %q, which is read as %q, %+v", name, s, shown, again, bad)
			}
		}
	})
}

// FuzzAddress asks package net/netip what an address is.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{
		"10.0.0.1:80", "[::1]:443", "[::ffff:1.2.3.4]:80", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:+1", "1.2.3.4:080", "::1:80", "[::1%a]:1",
		"[1.2.3.4]:80", "0x7f.1:80", "010.0.0.1:80", "1.2.3:80", "a.b-c:1", "a_b.:65535", "-a:1", "a..b:1", "1:1", "1.a.2:3", "224.0.0.1:1", "[ff02::1]:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, bad := parseBackendAddress(s)
		ap, err := netip.ParseAddrPort(s)
		usable := err == nil && ap.Port() != 0 && ap.Addr().Zone() == "" && !ap.Addr().Is4In6() && !ap.Addr().IsMulticast()
		isIP := bad == nil && (a.Network == TCP4 || a.Network == TCP6)
		if isIP != usable || isIP && a.AddrPort != ap {
			t.Fatalf("%q: read as %+v %v; netip says %v %v", s, a, bad, ap, err)
		}
		if bad == nil && a.Network == Host {
			checkHost(t, s, a)
		}
		if p, bad := parsePrefix(s); bad == nil && (!p.IsValid() || p != p.Masked()) {
			t.Fatalf("%q: read as %v", s, p)
		}
	})
}

// checkHost: a name of a host cannot be mistaken for an address, by no resolver.
func checkHost(t *testing.T, s string, a Address) {
	if a.Port == 0 || len(a.Host) > 253 || strings.ContainsAny(a.Host, " /:[]%@\\\"\x00") || a.Host != strings.ToLower(a.Host) {
		t.Fatalf("%q: host %q, port %d", s, a.Host, a.Port)
	}
	if last := a.Host[strings.LastIndexByte(strings.TrimSuffix(a.Host, "."), '.')+1:]; strings.Trim(strings.TrimSuffix(last, "."), "0123456789") == "" {
		t.Fatalf("%q: %q ends in a number", s, a.Host)
	}
}

// FuzzUnits computes durations and sizes with numbers of any length.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"1h", "24h24m", "576h", "576h1ns", "0.1ms", "1µs", "-0s", "18446744073709551616B", "1024KiB", " 7 GiB", "00012B", "1e3B", "1_0B", "8589934591GiB", "8589934592GiB", "17179869185GiB", "36028797018963969KiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		limits := span{from: time.Millisecond, to: maxTimer}
		if d, bad := limits.parse(s); bad == nil && (d < limits.from || d > limits.to) {
			t.Fatalf("%q: %v", s, d)
		}
		n, bad := sizeParser(1, gib)(s)
		exact := bytesOf(s)
		inRange := exact != nil && exact.Sign() > 0 && exact.Cmp(big.NewInt(gib)) <= 0
		if (bad == nil) != inRange || bad == nil && exact.Cmp(big.NewInt(n)) != 0 {
			t.Fatalf("%q: %d %v, exactly %v", s, n, bad, exact)
		}
	})
}

// bytesOf reads digits and a unit; nil: they are none.
func bytesOf(s string) *big.Int {
	shift := map[string]uint{"KiB": 10, "MiB": 20, "GiB": 30, "B": 0}
	for _, unit := range []string{"KiB", "MiB", "GiB", "B"} {
		digits, ok := strings.CutSuffix(s, unit)
		if digits = strings.TrimSpace(digits); !ok {
			continue
		}
		if digits == "" || strings.Trim(digits, "0123456789") != "" {
			return nil
		}
		n, _ := new(big.Int).SetString(digits, 10)
		return n.Lsh(n, shift[unit])
	}
	return nil
}

// FuzzExpand holds that what is escaped comes back, that variables are put in as they are, and that what has no `$` is
// left alone.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"", "$", "$$", "${A}", "${A:-b}", "${A:-${B}}", "${}", "${1}", "$A", "${A", "${A:-", "a${A}$${B:-$}c", "${A:-}}", "${E:-x}"} {
		f.Add(s, "value")
	}
	f.Fuzz(func(t *testing.T, s, value string) {
		env := func(name string) (string, bool) { return map[string]string{"A": value}[name], name == "A" }
		if got, bad := expand(strings.ReplaceAll(s, "$", "$$"), env); bad != nil || got != s {
			t.Fatalf("%q escaped: %q %v", s, got, bad)
		}
		got, bad := expand(s, env)
		switch {
		case bad != nil:
			if !strings.Contains(s, "$") {
				t.Fatalf("%q: %v", s, bad)
			}
		case !strings.Contains(s, "$") && got != s:
			t.Fatalf("%q: %q", s, got)
		case len(got) > len(s)*(1+len(value)):
			t.Fatalf("%q grows to %q", s, got)
		}
		if value != "" {
			wrapped, bad := expand("<${A}"+strings.ReplaceAll(s, "$", "$$")+"${B:-$}>", env)
			if isText := utf8.ValidString(value); isText != (bad == nil) || bad == nil && wrapped != "<"+value+s+"$>" {
				t.Fatalf("A = %q: %q %v", value, wrapped, bad)
			}
		}
	})
}

// FuzzFiles reads two files as one configuration: which comes first does not matter for whether they are valid, and
// every problem is in one of them.
func FuzzFiles(f *testing.F) {
	f.Add(shortest, "[process]\nname = \"a\"\n")
	f.Add("[process]\nname = \"a\"\n"+shortest, "[process]\nname = \"b\"\n")
	f.Add("[[pool]]\nname = \"p\"\n[[pool.backend]]\nname = \"b\"\naddress = \"10.0.0.1:1\"\n", "[[frontend]]\nname = \"f\"\nlisten = [\"0.0.0.0:1\"]\npool = \"p\"\n")
	f.Add("pool = 1\n", "[[pool]]\n")
	f.Add("frontend = []\n", "[timeouts]\nidle = \"1h\"\n[timeouts.x]\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		read := func(first, second string) Problems {
			r := newReader(Options{Env: fuzzEnv})
			r.cfg.Files = []string{"one", "two"}
			r.add("one", []byte(first))
			r.add("two", []byte(second))
			cfg, _, err := r.finish()
			var problems Problems
			errors.As(err, &problems)
			if (cfg == nil) != (len(problems) > 0) {
				t.Fatalf("%v and %v", cfg, err)
			}
			return problems
		}
		forward := read(a, b)
		backward := read(b, a)
		if (len(forward) == 0) != (len(backward) == 0) {
			t.Fatalf("one way: %v\nthe other: %v", forward, backward)
		}
		texts := map[string]string{"one": a, "two": b}
		for _, p := range forward {
			text, known := texts[p.File]
			if !known || p.Line < 1 || p.Line > strings.Count(text, "\n")+1 || p.What == "" {
				t.Fatalf("%+v", p)
			}
		}
	})
}
