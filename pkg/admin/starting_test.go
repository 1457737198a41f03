package admin

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// Doors are open before there is anything to show: the process is alive and not ready, and all else has to wait.
func TestOpenDoorsSayThatLongspliceIsStarting(t *testing.T) {
	testkit.LeakCheck(t)
	o := Options{Process: config.Process{Admin: filepath.Join(t.TempDir(), "admin.sock"), HTTP: httpAddress("127.0.0.1:0")}}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Server: s, socket: o.Process.Admin, client: socketClient(o.Process.Admin)}
	defer r.client.CloseIdleConnections()
	paths := []string{"/readyz", "/metrics", "/v1/status", "/v1/live", "/v1/events", "/"}
	for _, kind := range []doorKind{doorSocket, doorLoopback} {
		if a := r.ask(t, kind, "GET", "/healthz"); a.status != http.StatusOK {
			t.Errorf("/healthz while starting: %d %s", a.status, a.body)
		}
		for _, path := range paths {
			if a := r.ask(t, kind, "GET", path); a.status != http.StatusServiceUnavailable || a.code(t) != "starting" {
				t.Errorf("%s while starting: %d %s", path, a.status, a.body)
			}
		}
		if a := r.ask(t, kind, "GET", "/nothing"); a.status != http.StatusNotFound {
			t.Errorf("a path that is none, while starting: %d", a.status)
		}
	}
	s.Serve(newFake(2))
	for _, path := range []string{"/readyz", "/metrics", "/v1/status", "/"} {
		if a := r.ask(t, doorSocket, "GET", path); a.status != http.StatusOK {
			t.Errorf("%s when started: %d %s", path, a.status, a.body)
		}
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A start that fails closes doors that never showed anything.
func TestDoorsCloseWithoutHavingServed(t *testing.T) {
	testkit.LeakCheck(t)
	s, err := Open(Options{Process: config.Process{Admin: filepath.Join(t.TempDir(), "admin.sock"), HTTP: httpAddress("127.0.0.1:0")}})
	if err != nil {
		t.Fatal(err)
	}
	busy := Options{Process: config.Process{HTTP: config.Address{Network: config.TCP4, AddrPort: s.HTTPAddr()}}}
	if _, err := Open(busy); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the same address again: %v", err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	again, err := Open(busy)
	if err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	again.Close(context.Background())
}
