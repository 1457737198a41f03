package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// line is the access log line of the contract, field by field and in its order.
type line struct {
	Time        string  `json:"time"`
	ID          string  `json:"id"`
	Frontend    string  `json:"frontend"`
	Pool        string  `json:"pool"`
	Backend     string  `json:"backend"`
	Client      string  `json:"client"`
	Listen      string  `json:"listen"`
	Source      string  `json:"source"`
	BackendAddr string  `json:"backend_addr"`
	Began       string  `json:"began"`
	DurationS   float64 `json:"duration_s"`
	ConnectS    float64 `json:"connect_s"`
	ToBackend   uint64  `json:"to_backend_bytes"`
	ToClient    uint64  `json:"to_client_bytes"`
	Mode        string  `json:"mode"`
	Reason      string  `json:"reason"`
	Errno       string  `json:"errno"`
	Retries     int     `json:"retries"`
	Worker      int     `json:"worker"`
	Node        string  `json:"node"`
}

func addr(s string) sys.Addr { return sys.AddrFrom(netip.MustParseAddrPort(s)) }

func full() Record {
	return Record{
		ID: 0xabc, Frontend: "chat", Pool: "chat", Backend: "b1", BackendAddr: "10.0.1.1:8080", Listen: "0.0.0.0:443",
		Client: addr("192.0.2.7:51000"), Source: addr("[fd00::1]:40000"), BeganUnixMs: 1_700_000_000_123,
		DurationUs: 90_061_500_001, ConnectUs: 250, ToBackend: 1 << 60, ToClient: 7, Spliced: true,
		Reason: stats.BackendReset, Errno: sys.ECONNRESET, Retries: 2, Worker: 3,
	}
}

func TestLine(t *testing.T) {
	ended := line{
		Time: "2023-11-15T23:14:21.623Z", ID: "0000000000000abc", Frontend: "chat", Pool: "chat", Backend: "b1",
		Client: "192.0.2.7:51000", Listen: "0.0.0.0:443", Source: "[fd00::1]:40000", BackendAddr: "10.0.1.1:8080",
		Began: "2023-11-14T22:13:20.123Z", DurationS: 90061.500001, ConnectS: 0.00025, ToBackend: 1 << 60, ToClient: 7,
		Mode: "splice", Reason: "backend_reset", Errno: "ECONNRESET", Retries: 2, Worker: 3, Node: "edge-1",
	}
	cases := []struct {
		name   string
		change func(*Record)
		want   func(*line)
	}{
		{"a session that ended", func(*Record) {}, func(*line) {}},
		{
			"the start of a session", func(r *Record) { r.Start, r.Reason, r.DurationUs = true, stats.None, 2e6 },
			func(l *line) { l.Time, l.Reason, l.DurationS = l.Began, "", 2 },
		},
		{
			"no backend was reached", func(r *Record) { r.Backend, r.BackendAddr, r.Source, r.Errno = "", "", sys.Addr{}, 0 },
			func(l *line) { l.Backend, l.BackendAddr, l.Source, l.Errno = "", "", "", "" },
		},
		{
			"a client of a unix socket", func(r *Record) { r.Client, r.Spliced = sys.Addr{}, false },
			func(l *line) { l.Client, l.Mode = "unix", "copy" },
		},
		{
			"names that need escaping", func(r *Record) { r.Frontend = "a\"b\\c\n\x01é\u2028\xff" },
			func(l *line) { l.Frontend = "a\"b\\c\n\x01é\u2028\ufffd" },
		},
		{"a clock that went backwards", func(r *Record) { r.ConnectUs = -5 }, func(l *line) { l.ConnectS = 0 }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rec, want := full(), ended
			c.change(&rec)
			c.want(&want)
			text := rec.appendLine(nil, "edge-1")
			var got line
			dec := json.NewDecoder(bytes.NewReader(text))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&got); err != nil {
				t.Fatalf("decode %s: %v", text, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if n := bytes.Count(text, newline); n != 1 || text[len(text)-1] != '\n' {
				t.Errorf("%d newlines in %q, want one, at its end", n, text)
			}
		})
	}
}

func TestLineHasTheFieldsOfTheContractInOrder(t *testing.T) {
	rec := full()
	dec := json.NewDecoder(bytes.NewReader(rec.appendLine(nil, "n")))
	var got, want []string
	for i := range reflect.TypeFor[line]().NumField() {
		want = append(want, reflect.TypeFor[line]().Field(i).Tag.Get("json"))
	}
	dec.Token() // {
	for dec.More() {
		key, _ := dec.Token()
		got = append(got, key.(string))
		dec.Token() // its value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRingDropsAndCountsWhatDoesNotFit(t *testing.T) {
	r := NewRing(3)
	if len(r.slots) != 4 {
		t.Fatalf("ring of %d, want 3 rounded up to 4", len(r.slots))
	}
	var got Record
	if r.take(&got) {
		t.Fatal("took a record from an empty ring")
	}
	for round := range uint64(3) {
		for i := range uint64(6) {
			if ok := r.Put(&Record{ID: i}); ok != (i < 4) {
				t.Fatalf("round %d: Put of record %d = %v", round, i, ok)
			}
		}
		for i := range uint64(4) {
			if !r.take(&got) || got.ID != i {
				t.Fatalf("round %d: took %d, want %d", round, got.ID, i)
			}
		}
		if want := 2 * (round + 1); r.Dropped() != want {
			t.Errorf("dropped %d, want %d", r.Dropped(), want)
		}
	}
}

func TestRingKeepsOrderBetweenTwoGoroutines(t *testing.T) {
	const records = 200_000
	r := NewRing(64)
	go func() {
		for i := uint64(1); i <= records; {
			if r.Put(&Record{ID: i, ToClient: ^i}) {
				i++
			} else {
				runtime.Gosched()
			}
		}
	}()
	var got Record
	for want := uint64(1); want <= records; {
		if !r.take(&got) {
			runtime.Gosched()
			continue
		}
		if got.ID != want || got.ToClient != ^want {
			t.Fatalf("took %d (%d), want %d", got.ID, got.ToClient, want)
		}
		want++
	}
}

func TestPutDoesNotAllocate(t *testing.T) {
	r, rec := NewRing(8), full()
	if n := testing.AllocsPerRun(100, func() { r.Put(&rec) }); n != 0 {
		t.Errorf("%v allocations per Put", n)
	}
}

// run starts w and returns what ends it and waits.
func run(w *Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func TestWriterWritesAllRings(t *testing.T) {
	testkit.LeakCheck(t)
	var out bytes.Buffer
	rings := []*Ring{NewRing(64), NewRing(1024)}
	stop := run(NewWriter(&out, "n", rings...))
	const each = 1000 // more than one flush
	for i := range uint64(each) {
		for worker, r := range rings {
			rec := full()
			rec.ID, rec.Worker = i, worker
			for !r.Put(&rec) {
				runtime.Gosched()
			}
		}
	}
	stop()
	next := [2]int{}
	for s := bufio.NewScanner(&out); s.Scan(); {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("decode %s: %v", s.Bytes(), err)
		}
		next[l.Worker]++
	}
	if next != [2]int{each, each} {
		t.Errorf("lines by worker: %v", next)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestReopenFollowsRotation(t *testing.T) {
	testkit.LeakCheck(t)
	path := filepath.Join(t.TempDir(), "access.log")
	r := NewRing(8)
	w, err := Open(path, "n", r)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(w)
	rec := full()
	r.Put(&rec)
	await(t, "the first line is written", func() bool { return w.Written() == 1 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second before the first is adopted, most likely
		if err := w.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the new file is adopted", func() bool { return w.next.Load() == nil })
	rec.ID = 2
	r.Put(&rec)
	stop()
	if err := w.Reopen(); err != nil {
		t.Errorf("Reopen after Run: %v", err)
	}
	for file, id := range map[string]string{path + ".1": "0000000000000abc", path: "0000000000000002"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), id) {
			t.Errorf("%s holds %q, want the line of %s", filepath.Base(file), text, id)
		}
	}
}

func TestOpenNamesThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "access.log")
	if _, err := Open(path, "n"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names %s", err, path)
	}
}

// brokenSink takes what room it has, then fails.
type brokenSink struct {
	room int
	got  bytes.Buffer
}

func (s *brokenSink) Write(p []byte) (int, error) {
	n := min(len(p), s.room)
	s.room -= n
	s.got.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left")
	}
	return n, nil
}

func TestFailingSinkIsCountedAndTheNextLinesAreWhole(t *testing.T) {
	rec := full()
	length := len(rec.appendLine(nil, "n"))
	sink := &brokenSink{room: length + length/2}
	r := NewRing(8)
	w := NewWriter(sink, "n", r)
	put := func(n int) {
		for range n {
			r.Put(&rec)
		}
		w.drain()
	}
	put(3) // one whole line, half a line, one line not at all
	put(1) // no room for the newline that mends the torn line
	if w.Written() != 1 || w.Lost() != 3 {
		t.Fatalf("written %d, lost %d; want 1 and 3", w.Written(), w.Lost())
	}
	sink.room = 1 << 20
	put(2)
	if w.Written() != 3 || w.Lost() != 3 {
		t.Errorf("written %d, lost %d; want 3 and 3", w.Written(), w.Lost())
	}
	var valid []bool
	for s := bufio.NewScanner(&sink.got); s.Scan(); {
		valid = append(valid, json.Valid(s.Bytes()))
	}
	if diff := cmp.Diff([]bool{true, false, true, true}, valid); diff != "" {
		t.Error(diff)
	}
}

// blockedSink blocks until it is released.
type blockedSink struct{ entered, release chan struct{} }

func (s *blockedSink) Write(p []byte) (int, error) {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.release
	return len(p), nil
}

func TestBlockedSinkDropsAndNeverBlocksTheWorker(t *testing.T) {
	testkit.LeakCheck(t)
	sink := &blockedSink{entered: make(chan struct{}, 1), release: make(chan struct{})}
	r, rec := NewRing(4), full()
	stop := run(NewWriter(sink, "n", r))
	r.Put(&rec)
	<-sink.entered
	for range 10 {
		r.Put(&rec)
	}
	if r.Dropped() != 6 {
		t.Errorf("dropped %d, want 6 of 10 beside a ring of 4", r.Dropped())
	}
	close(sink.release)
	stop()
}

func FuzzQuoted(f *testing.F) {
	f.Add("b1")
	f.Add("\x00\"\\\x7f\xc3\u2029")
	f.Fuzz(func(t *testing.T, s string) {
		text := appendQuoted(nil, s)
		var got string
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("decode %q: %v", text, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); got != want && strings.ToValidUTF8(s, "") == s {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func BenchmarkPutAndWrite(b *testing.B) {
	r, rec := NewRing(1024), full()
	w := NewWriter(discard{}, "n", r)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.Put(&rec)
		if i%512 == 0 {
			w.drain()
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
