package matrix

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTwoProcessesShareAnAddress: where both frontends say so, two processes serve one address, and each connection is at
// one of them. Who does not say so is refused, and nobody's sessions notice.
func TestTwoProcessesShareAnAddress(t *testing.T) {
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front := freeAddress(t, "127.0.0.1")
	shared := setup{process: "workers = 2", config: frontend("front", front, "pool", "shared = true") + pool("pool", backends)}
	processes := []*program{run(t, shared), run(t, shared)}
	visitors := gather(t, front, scaled(200))
	var held int64
	for i, p := range processes {
		n := p.status().Sessions.Held
		if n == 0 {
			t.Errorf("process %d holds none of %d sessions", i, len(visitors))
		}
		held += n
	}
	if held != int64(len(visitors)) {
		t.Errorf("%d sessions held together, want %d", held, len(visitors))
	}
	alone := filepath.Join(t.TempDir(), "alone.toml")
	text := "[process]\nadmin = \"\"\n" + frontend("front", front, "pool") + pool("pool", backends)
	if err := os.WriteFile(alone, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(programPath, "run", "-c", alone).CombinedOutput(); err == nil || !strings.Contains(string(out), "address already in use") {
		t.Errorf("a process that does not share: %v, %s", err, out)
	}
	wantNone(t, "sessions were cut", visitors.say(100))
	for _, p := range processes {
		p.wantNoFailures()
	}
}
