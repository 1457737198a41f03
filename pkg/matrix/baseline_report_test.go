package matrix

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// baseline is what one proxy made of all endings.
type baseline struct {
	name, version string
	cpu           time.Duration // in a second of silence after an urgent byte
	outcomes      []played
	equal         []bool // to the direct connection
}

func (b baseline) different() (n int) {
	for _, equal := range b.equal {
		if !equal {
			n++
		}
	}
	return n
}

// TestBaselines plays the same endings directly, through the program and through the proxies that are installed, and
// writes what came of them, as Markdown, to the file that LONGSPLICE_BASELINES names (`make baselines`).
func TestBaselines(t *testing.T) {
	path := os.Getenv("LONGSPLICE_BASELINES")
	if path == "" {
		t.Skip("LONGSPLICE_BASELINES=file compares with other proxies; make baselines sets it")
	}
	scripts := endings(quietFor)
	direct := baseline{name: "no proxy"}
	for _, s := range scripts {
		out := testkit.RunDirect(t, s)
		direct.add(out, played{Outcome: out})
	}
	all, missing := []baseline{direct}, []string{}
	started := []*peer{asPeer(t, laneFor(t))}
	for _, k := range peerKinds {
		if p := startPeer(t, k, laneFor(t)); p != nil {
			started = append(started, p)
		} else {
			missing = append(missing, k.name)
		}
	}
	all = append(all, compare(started, scripts, direct)...)
	if n := all[1].different(); n > 0 {
		t.Errorf("through longsplice %d endings differ from those of a direct connection", n)
	}
	text := table(scripts, all, missing)
	t.Logf("\n%s", text)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Errorf("write the baselines: %v", err)
	}
}

// compare plays the scripts through all peers: the first one by one, since it is measured, the others at once, since a
// stream that never ends takes its time.
func compare(started []*peer, scripts []testkit.Script, direct baseline) []baseline {
	all := make([]baseline, len(started))
	for i, p := range started {
		out, cpu := p.playMeasured(scripts[0])
		all[i] = baseline{name: p.name, version: p.version, cpu: cpu}
		all[i].add(direct.outcomes[0].Outcome, out)
	}
	var wg sync.WaitGroup
	for i, p := range started {
		wg.Go(func() {
			for j, s := range scripts[1:] {
				all[i].add(direct.outcomes[1+j].Outcome, p.play(s))
			}
		})
	}
	wg.Wait()
	return all
}

func (b *baseline) add(direct testkit.Outcome, out played) {
	b.outcomes = append(b.outcomes, out)
	b.equal = append(b.equal, out.err == nil && len(testkit.Differences(direct, out.Outcome)) == 0)
}

// table is the comparison as Markdown: first what readers got where proxies fail worst, then all endings.
func table(scripts []testkit.Script, all []baseline, missing []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; Linux %s.\n", time.Now().UTC().Format(time.DateOnly), sys.Release())
	for _, one := range all[1:] {
		fmt.Fprintf(&b, "%s: %s.\n", one.name, one.version)
	}
	for _, name := range missing {
		fmt.Fprintf(&b, "%s: not installed here.\n", name)
	}
	fmt.Fprintf(&b, "\n| through | %s: the backend got | processor time in a second of silence after it | %s: the client got | %s: the backend got | endings of %d that differ from a direct connection |\n|---|---|---|---|---|---|\n",
		afterUrgentByte, afterBackendReset, afterClientReset, len(scripts))
	for _, one := range all {
		urgent, backend, client := one.outcomes[0], one.outcomes[1], one.outcomes[2]
		fmt.Fprintf(&b, "| %s | %s | %d ms | %s | %s | %d |\n", one.name, got(urgent.Client, urgent.Server), one.cpu.Milliseconds(),
			got(backend.Server, backend.Client), got(client.Client, client.Server), one.different())
	}
	b.WriteString("\n| ending |")
	for _, one := range all[1:] {
		fmt.Fprintf(&b, " %s |", one.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(all)-1) + "\n")
	for i, s := range scripts {
		fmt.Fprintf(&b, "| %s |", s.Name)
		for _, one := range all[1:] {
			fmt.Fprintf(&b, " %s |", one.word(i, all[0].outcomes[i].Outcome))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nhangs: a peer waited %v in vain.\n", testkit.Bound)
	return b.String()
}

// got is what a reader got of what was sent to it, and how the stream ended for it.
func got(sender, reader testkit.Transcript) string {
	s := fmt.Sprintf("%d of %d bytes", reader.Received, sender.Sent)
	if sender.UrgentSent > 0 {
		s += fmt.Sprintf(", %d of %d urgent", len(reader.Urgent), sender.UrgentSent)
	}
	return s + ", " + map[testkit.End]string{testkit.EndFIN: "FIN", testkit.EndReset: "RST", testkit.EndOpen: "no end"}[reader.End]
}

// word says in one cell whether an ending was equal to the direct one.
func (b baseline) word(i int, direct testkit.Outcome) string {
	switch out := b.outcomes[i]; {
	case b.equal[i]:
		return "equal"
	case out.err != nil:
		return "hangs"
	case direct.Client.End != out.Client.End || direct.Server.End != out.Server.End:
		return "another end"
	case out.Client.Received < direct.Client.Received || out.Server.Received < direct.Server.Received:
		return "bytes lost"
	default:
		return "urgent byte lost"
	}
}
