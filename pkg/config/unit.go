package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxTimer is the longest finite duration: the kernel's and our timers count
// milliseconds in 31 bits, 24.8 days.
const maxTimer = 24 * 24 * time.Hour

// span is what a duration may be.
type span struct {
	from, to time.Duration
	off      bool          // "0s" too
	forever  bool          // "forever" too
	whole    time.Duration // a multiple of this; 0: of anything
}

// parse reads Go's notation: "1h30m", "250ms".
func (s span) parse(text string) (time.Duration, *fault) {
	if text == "forever" {
		if !s.forever {
			return 0, wrong(`"forever" is not possible here`, s.want())
		}
		return Forever, nil
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, wrong(quote(text)+" is not a duration", s.want())
	case d == 0 && s.off:
		return 0, nil
	case d < s.from || d > s.to:
		return 0, wrong(quote(text)+" is out of range", s.want())
	case s.whole > 0 && d%s.whole != 0:
		return 0, wrong(quote(text)+" is not a multiple of "+showDuration(s.whole), s.want())
	}
	return d, nil
}

func (s span) want() string {
	words := fmt.Sprintf(`write a duration from "%s" to "%s"`, showDuration(s.from), showDuration(s.to))
	if s.off {
		words += `, or "0s" for off`
	}
	if s.forever {
		words += `, or "forever"`
	}
	return words
}

// showDuration is Duration.String without zero parts at the end: "1h", "5m30s".
func showDuration(d time.Duration) string {
	if d == Forever {
		return "forever"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"GiB", gib}, {"MiB", mib}, {"KiB", kib}, {"B", 1}}

// sizeParser reads a whole number of B, KiB, MiB or GiB.
func sizeParser(from, to int64) func(string) (int64, *fault) {
	want := fmt.Sprintf("write a size from %q to %q, in B, KiB, MiB or GiB", showSize(from), showSize(to))
	return func(text string) (int64, *fault) {
		for _, u := range sizeUnits {
			digits, ok := strings.CutSuffix(text, u.suffix)
			if !ok {
				continue
			}
			n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
			if err != nil {
				break
			}
			if n > uint64(math.MaxInt64/u.bytes) || int64(n)*u.bytes < from || int64(n)*u.bytes > to {
				return 0, wrong(quote(text)+" is out of range", want)
			}
			return int64(n) * u.bytes, nil
		}
		return 0, wrong(quote(text)+" is not a size", want)
	}
}

func showSize(n int64) string {
	for _, u := range sizeUnits {
		if n%u.bytes == 0 && n >= u.bytes {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return "0B"
}
