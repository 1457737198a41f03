package matrix

import (
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// silence is the configuration that notices a silent peer within seconds. Without the last line keepalive would wait for
// TCP_USER_TIMEOUT, 33 s: where that is set, the kernel does not count probes (tcp_keepalive_timer, net/ipv4/tcp_timer.c).
const silence = `
[timeouts]
keepalive = "2s"
keepalive_interval = "1s"
keepalive_probes = 1
stall = "3s"
user_timeout = "0s"`

// TestVanishMatrix is T5's silent ends: a peer's cable is cut. Who is left must see a cut stream, not a silent or a complete
// one; the program says whether bytes were waiting (stall_timeout) or keepalive alone noticed it (client_gone, backend_gone).
func TestVanishMatrix(t *testing.T) {
	h := testkit.NewHost(t, "silent")
	h.CanVanish()
	all := cells(byVanishing, byStalling)
	courses := make([]*course, len(modes))
	for i, mode := range modes {
		courses[i] = layCourse(t, h, scriptsOf(all), relayIn(mode), silence)
	}
	scripts := scriptsOf(all)
	for i := range scripts {
		scripts[i].GiveUp = 3 * time.Second // here the peer itself has to notice; behind the program it has nothing to do
	}
	pairs := connectDirect(t, h, scripts)
	for _, c := range courses {
		pairs = append(pairs, c.pairs...)
	}
	began := time.Now()
	outcomes := playAll(t, pairs) // the waits of all runs are one wait
	t.Logf("%d cells by %s, and over direct connections, in %v", len(all), strings.Join(modes, ", "), time.Since(began))
	direct, through := outcomes[:len(all)], outcomes[len(all):]
	for i, mode := range modes {
		judge(t, courses[i], mode, all, direct, through[i*len(all):][:len(all)])
	}
}
