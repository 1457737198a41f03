package interop

import (
	"encoding/json"
	"net"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// iperf3 opens a connection for control and then one for data, which must reach the same server: there is one.
func TestIperf3BothWays(t *testing.T) {
	const payload = 500 << 20
	cases := []struct {
		name                string
		args                []string
		toBackend, toClient uint64
	}{
		{"to the backend", nil, payload, 0},
		{"to the client", []string{"--reverse"}, 0, payload},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			backend := loopback(t, "127.0.0.1", 1)[0]
			_, backendPort, _ := net.SplitHostPort(backend)
			// A probe by connecting would be a client for it.
			launch(t, "iperf3", "--server", "--bind", "127.0.0.1", "--port", backendPort, "--forceflush").says(t, "Server listening")
			f := balance(t, loopback(t, "127.0.0.1", 1)[0], noChecks, backend)
			_, port, _ := net.SplitHostPort(f.address)
			out := run(t, "iperf3", append(c.args, "--client", "127.0.0.1", "--port", port, "--bytes", "500M", "--json")...)
			received := iperf3Received(t, out)
			if received < payload {
				t.Errorf("iperf3 received %d bytes, want at least %d", received, uint64(payload))
			}
			f.judge(t, expected{sessions: 2, toBackend: c.toBackend, toClient: c.toClient, spliced: payload / 2})
		})
	}
}

// iperf3Received returns the payload that arrived, as its receiver counted it.
func iperf3Received(t *testing.T, out string) uint64 {
	t.Helper()
	var report struct {
		Error string `json:"error"`
		End   struct {
			Received struct {
				Bytes uint64 `json:"bytes"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Error != "" {
		t.Fatalf("iperf3 reports %q, %v:\n%s", report.Error, err, out)
	}
	return report.End.Received.Bytes
}
