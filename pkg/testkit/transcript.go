package testkit

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// End is how a stream ended for its reader.
type End int

// The kinds of end.
const (
	EndOpen  End = iota // no end was read
	EndFIN              // recv() returned 0
	EndReset            // recv() or send() returned an error
)

func (e End) String() string { return [...]string{"open", "fin", "reset"}[e] }

// Mark is an urgent byte as a default receiver sees it: its value and how many ordinary bytes came before it.
type Mark struct {
	At    int64
	Value byte
}

// Transcript is what one peer did and saw.
type Transcript struct {
	Sent       int64      // ordinary bytes that send() took
	UrgentSent int        // urgent bytes that it took
	SendErrno  unix.Errno // of the first send that failed, 0 if none
	Flushed    bool       // the end of our stream promised all bytes to the reader: a FIN, or a RST after SIOCOUTQ was 0

	Received   int64    // ordinary bytes
	Sum        [32]byte // SHA-256 of them
	FirstWrong int64    // offset of the first byte that is not the sender's pattern, -1 if none
	Urgent     []Mark
	End        End
	Errno      unix.Errno // of an EndReset
}

func (tr Transcript) String() string {
	s := fmt.Sprintf("sent %d, received %d (sha256 %x), end %v", tr.Sent, tr.Received, tr.Sum[:4], tr.End)
	if tr.End == EndReset {
		s += fmt.Sprintf(" (%v)", tr.Errno)
	}
	if tr.SendErrno != 0 {
		s += fmt.Sprintf(", send failed: %v", tr.SendErrno)
	}
	if tr.FirstWrong >= 0 {
		s += fmt.Sprintf(", first wrong byte at %d", tr.FirstWrong)
	}
	if len(tr.Urgent) > 0 {
		s += fmt.Sprintf(", urgent %v", tr.Urgent)
	}
	return s
}

// Outcome is one run of a script.
type Outcome struct{ Client, Server Transcript }

// Differences returns one line for each way in which the run through a balancer was not equal to the direct one; none means
// equal. Equal is: the same kind of end at each reader; bytes that are a correct prefix of what was sent, and all of them
// where the sender's end promised that (Flushed) and the reader read up to it; the same urgent bytes at the same places.
func Differences(direct, through Outcome) []string {
	return slices.Concat(
		readerDifferences("client", pair{direct.Server, direct.Client}, pair{through.Server, through.Client}),
		readerDifferences("server", pair{direct.Client, direct.Server}, pair{through.Client, through.Server}),
	)
}

// pair is one direction of one run.
type pair struct{ sender, reader Transcript }

// complete says whether the reader must have everything that the sender sent.
func (p pair) complete() bool { return p.sender.Flushed && p.reader.End != EndOpen }

func readerDifferences(name string, direct, through pair) []string {
	var diffs []string
	add := func(format string, args ...any) { diffs = append(diffs, name+": "+fmt.Sprintf(format, args...)) }
	d, th := direct.reader, through.reader
	if d.End != th.End {
		add("the stream ended with %v (%v), direct with %v (%v)", th.End, th.Errno, d.End, d.Errno)
	}
	if th.FirstWrong >= 0 {
		add("byte %d is wrong", th.FirstWrong)
	}
	if th.Received > through.sender.Sent {
		add("received %d bytes, only %d were sent", th.Received, through.sender.Sent)
	}
	whole := direct.complete() && through.complete()
	if whole && (th.Received != d.Received || th.Sum != d.Sum) {
		add("received %d bytes (sha256 %x), direct %d (%x)", th.Received, th.Sum[:4], d.Received, d.Sum[:4])
	}
	if !sameMarks(d.Urgent, th.Urgent, whole) {
		add("urgent bytes %v, direct %v", th.Urgent, d.Urgent)
	}
	return diffs
}

// sameMarks compares all urgent bytes, or where the stream was cut, those that both runs have.
func sameMarks(a, b []Mark, whole bool) bool {
	if !whole {
		n := min(len(a), len(b))
		a, b = a[:n], b[:n]
	}
	return slices.Equal(a, b)
}

// Explain joins what Differences returned with the script, for a test's failure message.
func Explain(s Script, diffs []string) string {
	return fmt.Sprintf("%v\n%s", s, strings.Join(diffs, "\n"))
}
