package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// testDoors call what a test wants to see at the moments when doors open and close.
type testDoors struct {
	open           func() error
	close          func()
	opened, closed int
}

func (d *testDoors) Open(func(Event)) error {
	d.opened++
	if d.open != nil {
		return d.open()
	}
	return nil
}

func (d *testDoors) Close() {
	d.closed++
	if d.close != nil {
		d.close()
	}
}

// withAdmin is a configuration of one frontend with an admin socket.
func withAdmin(t *testing.T, port int) (text, lock string) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	return strings.Replace(frontendAt(fmt.Sprintf("127.0.0.1:%d", port), "", ""), `admin = ""`, fmt.Sprintf("admin = %q", path), 1), path + ".lock"
}

func startDoors(t *testing.T, text string, d Doors, onEvent func(Event)) (*Balancer, error) {
	t.Helper()
	c, _, err := config.Parse("test.toml", []byte(text), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Start(context.Background(), Options{Config: c, Doors: d, OnEvent: onEvent})
}

// free tells whether nobody holds a lock.
func free(t *testing.T, lock string) bool {
	t.Helper()
	fd, _, err := sys.LockFile(lock)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	sys.Real{}.Close(fd)
	return true
}

// The doors open under the lock and before anything listens; they close when nothing listens and the last event was told,
// and still under the lock.
func TestDoorsOpenBeforeTheListenersAndCloseBeforeTheLock(t *testing.T) {
	testkit.LeakCheck(t)
	port := freePort(t)
	at := netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", port))
	text, lock := withAdmin(t, port)
	var seen told
	var d testDoors
	look := func(when string) {
		if free(t, lock) {
			t.Errorf("the lock is free when the doors %s", when)
		}
		if err := sys.ProbeBind(at, sys.ListenOptions{}); err != nil {
			t.Errorf("when the doors %s: %v; want that nobody listens", when, err)
		}
	}
	d.open = func() error { look("open"); return nil }
	d.close = func() {
		look("close")
		if len(seen.named("stopped")) != 1 {
			t.Error("the doors close before the last event")
		}
	}
	b, err := startDoors(t, text, &d, seen.add)
	if err != nil {
		t.Fatal(err)
	}
	b.Shutdown(context.Background())
	b.Shutdown(context.Background())
	if d.opened != 1 || d.closed != 1 {
		t.Errorf("the doors were opened %d times and closed %d times", d.opened, d.closed)
	}
	if !free(t, lock) {
		t.Error("the lock is held after all")
	}
}

func TestDoorsThatDoNotOpen(t *testing.T) {
	testkit.LeakCheck(t)
	text, lock := withAdmin(t, freePort(t))
	stuck := errors.New("stuck")
	d := testDoors{open: func() error { return stuck }}
	if _, err := startDoors(t, text, &d, nil); !errors.Is(err, stuck) {
		t.Errorf("start says %v", err)
	}
	if d.closed != 0 || !free(t, lock) {
		t.Errorf("closed %d times, lock free: %t", d.closed, free(t, lock))
	}
}

func TestDoorsCloseWhenAListenerCannotBeHad(t *testing.T) {
	testkit.LeakCheck(t)
	port := freePort(t)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	text, lock := withAdmin(t, port)
	var d testDoors
	if _, err := startDoors(t, text, &d, nil); !errors.Is(err, sys.EADDRINUSE) {
		t.Errorf("start says %v", err)
	}
	if d.opened != 1 || d.closed != 1 || !free(t, lock) {
		t.Errorf("opened %d times, closed %d times, lock free: %t", d.opened, d.closed, free(t, lock))
	}
}

// Without an admin socket there is no lock. Of balancers that come to their listeners in the same instant one serves.
func TestOfTwoThatStartAtOnceOneServes(t *testing.T) {
	testkit.LeakCheck(t)
	const rivals, rounds = 3, 10
	served := 0
	for range rounds {
		port := freePort(t)
		text := frontendAt(fmt.Sprintf("0.0.0.0:%[1]d\", \"127.0.0.1:%[1]d", port), "workers = 2", "")
		var ready, over sync.WaitGroup
		ready.Add(rivals)
		all := make([]*Balancer, rivals)
		for i := range rivals {
			c, _, err := config.Parse("test.toml", []byte(text), config.Options{})
			if err != nil {
				t.Fatal(err)
			}
			arrive := sync.OnceFunc(ready.Done)
			wait := &testDoors{open: func() error { arrive(); ready.Wait(); return nil }}
			over.Go(func() {
				defer arrive() // one whose start ends before it comes that far
				b, err := Start(context.Background(), Options{Config: c, Doors: wait, probe: func(int) []sys.Feature { return nil }})
				if all[i] = b; err != nil && !errors.Is(err, sys.EADDRINUSE) {
					t.Errorf("start: %v", err)
				}
			})
		}
		over.Wait()
		n := 0
		for _, b := range all {
			if b != nil {
				n++
				b.Shutdown(context.Background())
			}
		}
		if n > 1 {
			t.Fatalf("%d of %d serve the same address", n, rivals)
		}
		served += n
	}
	t.Logf("in %d of %d rounds one serves, in the others none", served, rounds)
	if served == 0 {
		t.Error("nobody ever serves")
	}
}
