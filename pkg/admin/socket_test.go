package admin

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/testkit"
)

func TestSocketModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "admin.sock")
	old := syscall.Umask(0) // the worst case: nothing is masked
	defer syscall.Umask(old)
	l, err := listenSocket(path, noGroup)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := modeOf(t, path); got != fs.ModeSocket|0o600 {
		t.Errorf("socket has mode %v, want 0600", got)
	}
	if got := modeOf(t, filepath.Dir(path)); got != fs.ModeDir|0o755 {
		t.Errorf("folder has mode %v, want 0755", got)
	}
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func TestSocketOfAGroup(t *testing.T) {
	gid := os.Getegid()
	if os.Geteuid() == 0 {
		gid = 65534
	}
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := listenSocket(path, gid)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o660 || int(info.Sys().(*syscall.Stat_t).Gid) != gid {
		t.Errorf("got mode %v, group %d; want 0660, group %d", info.Mode(), info.Sys().(*syscall.Stat_t).Gid, gid)
	}
}

func TestSocketRefusals(t *testing.T) {
	cases := []struct {
		name  string
		there func(t *testing.T, path string)
		says  string
	}{
		{"a symbolic link to a file", func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".elsewhere", nil, 0o600))
			must(t, os.Symlink(path+".elsewhere", path))
		}, "symbolic link"},
		{"a symbolic link to nothing", func(t *testing.T, path string) { must(t, os.Symlink(path+".nothing", path)) }, "symbolic link"},
		{"a symbolic link to a dead socket", func(t *testing.T, path string) {
			leaveDead(t, path+".dead")
			must(t, os.Symlink(path+".dead", path))
		}, "symbolic link"},
		{"a file", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("precious"), 0o600)) }, "not a socket"},
		{"a folder", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }, "not a socket"},
		{"a folder where anyone may write", func(t *testing.T, path string) { must(t, os.Chmod(filepath.Dir(path), 0o777)) }, "anyone may replace"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			path := filepath.Join(t.TempDir(), "admin.sock")
			c.there(t, path)
			before, _ := os.Lstat(path)
			l, err := listenSocket(path, noGroup)
			if err == nil {
				l.Close()
				t.Fatal("was opened")
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("says %q, want the path and %q", err, c.says)
			}
			if after, _ := os.Lstat(path); before != nil && !os.SameFile(before, after) {
				t.Error("what was there was replaced")
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// leaveDead leaves a socket that nobody serves, as kill -9 does.
func leaveDead(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	must(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	must(t, l.Close())
}

func TestDeadSocketIsReplaced(t *testing.T) {
	testkit.LeakCheck(t)
	path := filepath.Join(t.TempDir(), "admin.sock")
	leaveDead(t, path)
	l, err := listenSocket(path, noGroup)
	must(t, err)
	must(t, l.Close())
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestSocketThatIsServedIsRefused(t *testing.T) {
	r := start(t, newFake(1), nil)
	_, err := Start(newFake(1), Options{Process: config.Process{Admin: r.socket}})
	served := (*balancer.ServedError)(nil)
	if !errors.As(err, &served) || served.PID != os.Getpid() || !strings.Contains(err.Error(), "already served by longsplice pid "+strconv.Itoa(os.Getpid())) {
		t.Errorf("got %v", err)
	}
	if a := r.ask(t, doorSocket, "GET", "/healthz"); a.status != http.StatusOK {
		t.Errorf("the first one answers %d after that", a.status)
	}
}

func TestCloseLeavesAnothersSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	first, err := listenSocket(path, noGroup)
	must(t, err)
	must(t, os.Remove(path))
	second, err := listenSocket(path, noGroup)
	must(t, err)
	defer second.Close()
	must(t, first.Close())
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the second one's socket is gone: %v", err)
	}
}

func TestWhoMayEnterTheSocket(t *testing.T) {
	const group = 4242
	own := os.Geteuid()
	cases := []struct {
		name  string
		p     peer
		group int
		want  bool
	}{
		{"root", peer{uid: 0, known: true}, noGroup, true},
		{"our own user", peer{uid: own, known: true}, noGroup, true},
		{"another user", peer{uid: 99999, gid: 99999, known: true}, noGroup, false},
		{"another user, a group is set", peer{uid: 99999, gid: 99999, known: true}, group, false},
		{"a member by its first group", peer{uid: 99999, gid: group, known: true}, group, true},
		{"a member by another group", peer{uid: 99999, gid: 99999, groups: []uint32{7, group}, known: true}, group, true},
		{"one the kernel says nothing of", peer{}, group, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.mayEnter(c.group); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// A stranger is refused by what the kernel says of it even where the socket's mode lets it in.
func TestStrangerIsRefused(t *testing.T) {
	testkit.Privileged(t, "root: to ask as another user")
	curl := testkit.NeedProgram(t, "curl")
	nobody, err := user.Lookup("nobody")
	must(t, err)
	for _, c := range []struct {
		name, want string
		groups     []uint32
		group      int
	}{
		{"a stranger", "403", nil, 4242},
		{"a member", "200", []uint32{4242}, 4242},
		{"a member while no group is set", "403", []uint32{4242}, noGroup},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("/tmp", "longsplice-admin") // where another user gets through
			must(t, err)
			defer os.RemoveAll(dir)
			must(t, os.Chmod(dir, 0o755))
			r := start(t, newFake(1), func(o *Options) {
				o.Process.Admin = filepath.Join(dir, "admin.sock")
				o.adjust = func(d *door) { d.group = c.group }
			})
			must(t, os.Chmod(r.socket, 0o666))
			cmd := exec.Command(curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", r.socket, "http://longsplice/v1/status")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: number(t, nobody.Uid), Gid: number(t, nobody.Gid), Groups: c.groups}}
			out, err := cmd.Output()
			if err != nil || string(out) != c.want {
				t.Errorf("got %q, %v; want %s", out, err, c.want)
			}
		})
	}
}

func number(t *testing.T, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 32)
	must(t, err)
	return uint32(n)
}

func TestStartErrors(t *testing.T) {
	short := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(short, []byte("secret\n"), 0o600))
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer busy.Close()
	cases := []struct {
		name string
		p    config.Process
		says string
	}{
		{"reachable without a token", config.Process{HTTP: httpAddress("192.0.2.1:8404")}, "set http_token_file"},
		{"a token file that is not there", config.Process{HTTP: httpAddress("127.0.0.1:0"), HTTPTokenFile: "/nonexistent/token"}, "http_token_file"},
		{"a token that is easy to guess", config.Process{HTTP: httpAddress("127.0.0.1:0"), HTTPTokenFile: short}, "openssl rand"},
		{"a group that is not there", config.Process{Admin: filepath.Join(t.TempDir(), "s"), AdminGroup: "no-such-group"}, "groupadd"},
		{"a port in use", config.Process{Admin: filepath.Join(t.TempDir(), "s"), HTTP: httpAddress(busy.Addr().String())}, busy.Addr().String()},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			s, err := Start(newFake(1), Options{Process: c.p})
			if err == nil {
				s.Close(context.Background())
				t.Fatal("was started")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %q, want %q", err, c.says)
			}
			if _, err := os.Lstat(c.p.Admin); c.p.Admin != "" && err == nil {
				t.Error("a socket is left behind")
			}
		})
	}
	if _, err := Start(newFake(1), Options{Process: cases[4].p}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: got %v, want EADDRINUSE", err)
	}
}

func TestNoDoors(t *testing.T) {
	testkit.LeakCheck(t)
	s, err := Start(newFake(1), Options{})
	must(t, err)
	if s.HTTPAddr().IsValid() {
		t.Errorf("serves %s", s.HTTPAddr())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	must(t, s.Close(ctx))
}
