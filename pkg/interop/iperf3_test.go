package interop

import (
	"encoding/json"
	"net"
	"strconv"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// iperf3 opens a connection for control and then one for data, which must reach the same server: there is one.
//
// The control connection says that the test is over, and the receiver then closes the data connection on whatever is still
// on its way: directly too, up to some MiB of 500 are not received and the connection ends with a reset.
func TestIperf3BothWays(t *testing.T) {
	const payload = 500 << 20
	cases := []struct {
		name    string
		args    []string
		counted func(received uint64) expected
	}{
		{"to the backend", nil, func(received uint64) expected {
			return expected{toBackend: received, resets: map[string]uint64{"backend_reset": 1}}
		}},
		{"to the client", []string{"--reverse"}, func(received uint64) expected {
			return expected{toClient: received, resets: map[string]uint64{"client_reset": 1}}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			backend := address(t, "127.0.0.1")
			_, backendPort, _ := net.SplitHostPort(backend)
			// A probe by connecting would be a client for it.
			launch(t, "iperf3", "--server", "--bind", "127.0.0.1", "--port", backendPort, "--forceflush").says(t, "Server listening")
			f := balance(t, setup{health: noChecks, backends: []string{backend}})
			_, port, _ := net.SplitHostPort(f.address)
			out := run(t, "iperf3", append(c.args, "--client", "127.0.0.1", "--port", port, "--bytes", strconv.Itoa(payload), "--json")...)
			received := iperf3Received(t, out)
			t.Logf("iperf3 received %d of %d bytes", received, payload)
			if received < payload/2 {
				t.Errorf("iperf3 received %d bytes, want most of %d", received, payload)
			}
			want := c.counted(received)
			want.sessions, want.spliced = 2, received/2
			f.judge(t, want)
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
