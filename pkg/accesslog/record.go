package accesslog

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Record is what the log says of a session. Strings are kept as they are until the line is written: they must not be
// slices of memory that is used again.
type Record struct {
	ID          uint64 // unique over hosts, restarts and handoffs; never a slot
	Frontend    string
	Pool        string
	Backend     string // "" if none was picked
	BackendAddr string
	Listen      string
	Client      sys.Addr // the zero Addr is a unix socket
	Source      sys.Addr // our end towards the backend; the zero Addr: a unix socket, or no connection

	BeganUnixMs int64 // wall clock
	DurationUs  int64
	ConnectUs   int64  // until the backend's connection stood; 0 if it never did
	ToBackend   uint64 // bytes
	ToClient    uint64 // bytes

	Errno   sys.Errno
	Worker  int
	Retries uint8
	Reason  stats.Reason // None in a line of Start
	Spliced bool         // some bytes went by splice
	Start   bool         // the line at the beginning of a session
}

// timeLayout is RFC 3339 with milliseconds, always in UTC.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// appendLine appends the JSON line of r, its newline included. node names this instance.
func (r *Record) appendLine(b []byte, node string) []byte {
	began := time.UnixMilli(r.BeganUnixMs).UTC()
	b = append(b, `{"time":"`...)
	b = r.time(began).AppendFormat(b, timeLayout)
	b = append(b, `","id":"`...)
	b = appendHex16(b, r.ID)
	b = append(b, '"')
	b = appendText(b, "frontend", r.Frontend)
	b = appendText(b, "pool", r.Pool)
	b = appendText(b, "backend", r.Backend)
	b = appendAddr(b, "client", r.Client, "unix")
	b = appendText(b, "listen", r.Listen)
	b = appendAddr(b, "source", r.Source, "")
	b = appendText(b, "backend_addr", r.BackendAddr)
	b = append(b, `,"began":"`...)
	b = began.AppendFormat(b, timeLayout)
	b = append(b, '"')
	b = appendSeconds(b, "duration_s", r.DurationUs)
	b = appendSeconds(b, "connect_s", r.ConnectUs)
	b = appendCount(b, "to_backend_bytes", r.ToBackend)
	b = appendCount(b, "to_client_bytes", r.ToClient)
	b = appendText(b, "mode", r.mode())
	b = appendText(b, "reason", r.reason())
	b = appendText(b, "errno", sys.Name(r.Errno))
	b = appendCount(b, "retries", uint64(r.Retries))
	b = appendCount(b, "worker", uint64(r.Worker))
	b = appendText(b, "node", node)
	return append(b, "}\n"...)
}

// time is when the line came to be: began plus what the monotonic clock measured, so that a step of the wall clock
// never makes an end precede its beginning.
func (r *Record) time(began time.Time) time.Time {
	if r.Start {
		return began
	}
	return began.Add(time.Duration(r.DurationUs) * time.Microsecond)
}

func (r *Record) mode() string {
	if r.Spliced {
		return "splice"
	}
	return "copy"
}

func (r *Record) reason() string {
	if r.Reason == stats.None {
		return ""
	}
	return r.Reason.String()
}

func appendKey(b []byte, key string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendText(b []byte, key, value string) []byte { return appendQuoted(appendKey(b, key), value) }

func appendCount(b []byte, key string, n uint64) []byte {
	return strconv.AppendUint(appendKey(b, key), n, 10)
}

func appendSeconds(b []byte, key string, us int64) []byte {
	seconds := math.Max(float64(us), 0) / 1e6
	return strconv.AppendFloat(appendKey(b, key), seconds, 'f', -1, 64)
}

// appendAddr appends ip:port, or other for the zero Addr.
func appendAddr(b []byte, key string, a sys.Addr, other string) []byte {
	if a == (sys.Addr{}) {
		return appendText(b, key, other)
	}
	b = append(appendKey(b, key), '"')
	return append(a.AddrPort().AppendTo(b), '"')
}

const hexDigits = "0123456789abcdef"

func appendHex16(b []byte, n uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, hexDigits[n>>shift&15])
	}
	return b
}

// appendQuoted appends s as a JSON string (RFC 8259, section 7). Bytes that are not UTF-8 become U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
