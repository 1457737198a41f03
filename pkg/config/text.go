package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Parsers of single values, and how the values are written again.

// anyBytes takes every string.
func anyBytes(s string) (string, *fault) { return s, nil }

// anyText takes every string that fits in one line of a log.
func anyText(s string) (string, *fault) {
	if strings.ContainsFunc(s, isControl) {
		return "", wrong("contains a control character", "write plain text")
	}
	return s, nil
}

// nameText takes what can be a metric's label, a part of a URL and a word of a
// command line. NAME@IP is how the answers of a resolver are called.
func nameText(s string) (string, *fault) {
	notInName := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'`\\@,#?%$", r) }
	if s == "" || len(s) > 128 || strings.ContainsFunc(s, notInName) {
		return "", wrong(quote(s)+" cannot be a name", "write 1 to 128 letters, digits or -_.:/")
	}
	return s, nil
}

// interfaceText takes the names of dev_valid_name in net/core/dev.c.
func interfaceText(s string) (string, *fault) {
	if len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\v\f\r\x00") {
		return "", wrong(quote(s)+" cannot be the name of an interface", `write one of those that "ip link" shows`)
	}
	return s, nil
}

func absolutePath(s string) (string, *fault) {
	if !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, isControl) {
		return "", wrong(quote(s)+" is not an absolute path", "begin it with /")
	}
	return s, nil
}

func optionalPath(s string) (string, *fault) {
	if s == "" {
		return "", nil
	}
	return absolutePath(s)
}

func socketPath(s string) (string, *fault) {
	if s == "" {
		return "", nil
	}
	a, bad := parseUnix(s)
	if bad != nil {
		bad.remedy = `write an absolute path of at most 107 bytes, or "" for off`
	}
	return a.Path, bad
}

func accessLog(s string) (string, *fault) {
	if s == "" || s == AccessLogStdout || strings.HasPrefix(s, "/") {
		return anyText(s)
	}
	return "", wrong(quote(s)+" is not an absolute path", `write "/var/log/longsplice.log", "stdout", or "" for off`)
}

func urlPath(s string) (string, *fault) {
	if !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", wrong(quote(s)+" is not a path of a URL", `write "/healthz": from /, escaped, without spaces`)
	}
	return s, nil
}

func headerText(s string) (string, *fault) {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", wrong(quote(s)+" cannot be a Host header", `write "chat.example.org"`)
	}
	return s, nil
}

// optionalTCP reads ip:port or "".
func optionalTCP(s string) (Address, *fault) {
	if s == "" {
		return Address{}, nil
	}
	a, bad := parseListenAddress(s)
	if bad == nil && a.Network == Unix {
		return Address{}, wrong("a unix socket is not possible here", `write "127.0.0.1:8404"; the unix socket is the key admin`)
	}
	return a, bad
}

// parsePrefix reads a CIDR; an address alone is itself.
func parsePrefix(s string) (netip.Prefix, *fault) {
	p, err := netip.ParsePrefix(s)
	if ip, ipErr := netip.ParseAddr(s); ipErr == nil && ip.Zone() == "" {
		p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	switch {
	case err != nil:
		return netip.Prefix{}, wrong(quote(s)+" is not a CIDR", `write "10.0.0.0/8" or "fd00::/8"`)
	case p.Addr().Is4In6():
		return netip.Prefix{}, wrong("an IPv4 address is mapped into IPv6", "write it as IPv4")
	case p != p.Masked():
		return netip.Prefix{}, wrong(quote(s)+" has bits beyond its mask", "write "+quote(p.Masked().String()))
	}
	return p, nil
}

// parseAddrRange reads one address or FROM-TO.
func parseAddrRange(s string) (AddrRange, *fault) {
	want := `write "10.0.0.10", "10.0.0.10-10.0.0.20" or "fd00::10"`
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	from, err1 := netip.ParseAddr(first)
	to, err2 := netip.ParseAddr(last)
	switch {
	case err1 != nil || err2 != nil || from.Zone() != "" || to.Zone() != "" || from.Is4In6() || to.Is4In6():
		return AddrRange{}, wrong(quote(s)+" is not a range of addresses", want)
	case from.BitLen() != to.BitLen():
		return AddrRange{}, wrong(quote(s)+" mixes IPv4 and IPv6", want)
	case to.Less(from):
		return AddrRange{}, wrong(quote(s)+" ends before it begins", "write the lower address first")
	case from.IsUnspecified() || from.IsMulticast() || to.IsMulticast():
		return AddrRange{}, wrong(quote(s)+" holds an address that no host can have", want)
	}
	return AddrRange{from, to}, nil
}

// parsePortRange reads "" or FROM-TO. The ports below 1024 belong to servers.
func parsePortRange(s string) (PortRange, *fault) {
	if s == "" {
		return PortRange{}, nil
	}
	first, last, _ := strings.Cut(s, "-")
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	switch {
	case err1 != nil || err2 != nil:
		return PortRange{}, wrong(quote(s)+" is not a range of ports", `write "10000-32000", or "" to let the kernel choose`)
	case to < from:
		return PortRange{}, wrong(quote(s)+" ends before it begins", "write the lower port first")
	case from < 1024:
		return PortRange{}, wrong(quote(s)+" begins below 1024", "use ports from 1024 to 65535")
	}
	return PortRange{uint16(from), uint16(to)}, nil
}

func parseStatusRange(s string) (StatusRange, *fault) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if err1 != nil || err2 != nil || from < 100 || to > 599 || to < from {
		return StatusRange{}, wrong(quote(s)+" is not a range of HTTP status codes", `write "200-399" or "204", within 100 to 599`)
	}
	return StatusRange{from, to}, nil
}

func userTimeout(s string) (time.Duration, *fault) {
	if s == "auto" {
		return autoUserTimeout, nil
	}
	d, bad := span{from: time.Second, to: maxTimer, off: true}.parse(s)
	if bad != nil {
		bad.remedy += `, or "auto"`
	}
	return d, bad
}

func parseClientPrefix(raw any) (ClientPrefix, *fault) {
	want := "write [32, 64]: bits of IPv4, 1 to 32, and of IPv6, 1 to 128"
	pair, _ := raw.([]value)
	if len(pair) != 2 {
		return ClientPrefix{}, wrong("is not a pair of numbers", want)
	}
	v4, ok4 := pair[0].raw.(int64)
	v6, ok6 := pair[1].raw.(int64)
	switch {
	case !ok4 || !ok6:
		return ClientPrefix{}, wrong("is not a pair of numbers", want)
	case v4 < 1 || v4 > 32 || v6 < 1 || v6 > 128:
		return ClientPrefix{}, wrong(fmt.Sprintf("[%d, %d] is out of range", v4, v6), want)
	}
	return ClientPrefix{int(v4), int(v6)}, nil
}

// parseTableSize takes primes: only then is every step coprime to the size, so
// that each backend's permutation visits the whole table (Maglev, section 3.4).
func parseTableSize(raw any) (int, *fault) {
	const largest = 1 << 24
	n, ok := raw.(int64)
	switch {
	case !ok:
		return 0, wrongType(raw, "a whole number", "write a prime such as 65537")
	case n < 2 || n > largest:
		return 0, wrong(strconv.FormatInt(n, 10)+" is out of range", fmt.Sprintf("write a prime from 2 to %d, such as 65537", largest))
	case !isPrime(n):
		return 0, wrong(strconv.FormatInt(n, 10)+" is not a prime", fmt.Sprintf("the next one is %d", nextPrime(n)))
	}
	return int(n), nil
}

func isPrime(n int64) bool {
	for d := int64(2); d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}

func nextPrime(n int64) int64 {
	for !isPrime(n) {
		n++
	}
	return n
}

func showNumber(n int) string { return strconv.Itoa(n) }

func showAddress(a Address) string { return showText(a.String()) }

func showPrefix(p netip.Prefix) string { return showText(p.String()) }

func showClientPrefix(c ClientPrefix) string { return fmt.Sprintf("[%d, %d]", c.V4, c.V6) }

func showUserTimeout(d time.Duration) string {
	if d == autoUserTimeout {
		return `"auto"`
	}
	return showText(showDuration(d))
}

func showAddrRange(r AddrRange) string {
	if r.From == r.To {
		return showText(r.From.String())
	}
	return showText(r.From.String() + "-" + r.To.String())
}

func showPortRange(r PortRange) string {
	if r == (PortRange{}) {
		return `""`
	}
	return showText(fmt.Sprintf("%d-%d", r.From, r.To))
}

func showStatusRange(r StatusRange) string { return showText(fmt.Sprintf("%d-%d", r.From, r.To)) }
