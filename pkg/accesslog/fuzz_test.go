package accesslog

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// FuzzLine holds that a session makes one line with every key once, in the order of the contract, whatever names and
// numbers it has: nothing in a name can end the line, or begin another field.
func FuzzLine(f *testing.F) {
	f.Add("chat", "b1", "10.0.0.1:80", "edge-1", uint64(1), int64(1_700_000_000_123), int64(90_061_500_001), []byte("0123456789abcdef01"))
	f.Add("\"},\n{\"id\":\"", "\\", "unix:/a\u2028b", "\x00\x1f\x7f", uint64(math.MaxUint64), int64(math.MinInt64), int64(-1), []byte{})
	f.Add("\xff\xfe", "\xed\xa0\x80", "", "<script>", uint64(0), int64(0), int64(math.MaxInt64), []byte{2})
	f.Fuzz(func(t *testing.T, frontend, backend, address, node string, n uint64, began, took int64, raw []byte) {
		const year10000 = 253_402_300_800_000 // from which on RFC 3339 has no form
		r := Record{
			ID: n, Frontend: frontend, Pool: backend + frontend, Backend: backend, BackendAddr: address, Listen: address + node,
			BeganUnixMs: min(max(began, 0), year10000/2), DurationUs: min(took, year10000*100), ConnectUs: took, ToBackend: n, ToClient: ^n,
			Errno: sys.Errno(n % 140), Worker: int(n % 1024), Retries: uint8(n), Reason: stats.Reason(n % uint64(stats.NumReasons)),
			Spliced: n&1 != 0, Start: n&2 != 0,
		}
		copy(r.Client.IP[:], raw)
		r.Client.Port = uint16(n)
		if len(raw) > 16 {
			copy(r.Source.IP[:], raw[16:])
		}
		text := r.appendLine([]byte("before\n"), node)
		line, whole := bytes.CutPrefix(text, []byte("before\n"))
		if !whole || bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("not one line behind the other: %q", text)
		}
		checkLine(t, line, map[string]string{
			"frontend": frontend, "pool": backend + frontend, "backend": backend, "backend_addr": address, "listen": address + node, "node": node,
		})
	})
}

var lineKeys = strings.Fields("time id frontend pool backend client listen source backend_addr began duration_s connect_s " +
	"to_backend_bytes to_client_bytes mode reason errno retries worker node")

// checkLine reads the line token by token, since a map would hide a key that comes twice.
func checkLine(t *testing.T, line []byte, want map[string]string) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(line))
	token := func() json.Token {
		tok, err := dec.Token()
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return tok
	}
	token() // {
	for _, key := range lineKeys {
		if got := token(); got != key {
			t.Fatalf("%q: key %v where %s belongs", line, got, key)
		}
		value := token()
		if text, asked := want[key]; asked && strings.ToValidUTF8(text, "") == text && value != text {
			t.Fatalf("%s is %q, want %q", key, value, text)
		}
	}
	if end := token(); end != json.Delim('}') {
		t.Fatalf("%q goes on with %v", line, end)
	}
}
