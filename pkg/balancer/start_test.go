package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// tryStart is Start with a configuration that ought to fail; a balancer that did start is stopped again.
func tryStart(t *testing.T, text string) error {
	t.Helper()
	c, _, err := config.Parse("test.toml", []byte(text), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(context.Background(), Options{Config: c, lookup: testLookup})
	if err == nil {
		b.StopNow()
		b.Shutdown(context.Background())
	}
	return err
}

// testLookup stands for a name server that knows one name.
func testLookup(_ context.Context, network, host string) ([]netip.Addr, error) {
	if host == "known.test" && network == "ip4" {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// frontendAt is a configuration with one frontend. process and frontend are lines of those sections.
func frontendAt(listen, process, frontend string) string {
	return fmt.Sprintf("[process]\nadmin = \"\"\ndrain_timeout = \"0s\"\n%s\n[[frontend]]\nname = \"chat\"\nlisten = [\"%s\"]\nbackends = [\"127.0.0.1:9\"]\n%s\n",
		process, listen, frontend)
}

// tcpHolder listens somewhere in this process, as another program would.
func tcpHolder(t *testing.T, reusePort bool) string {
	t.Helper()
	port := freePort(t)
	fd, err := sys.ListenTCP(netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", port)), sys.ListenOptions{ReusePort: reusePort})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Real{}.Close(fd) })
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func unixHolder(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "served.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStartErrorsNameTheThingAndTheRemedy(t *testing.T) {
	any := func(t *testing.T) string { return fmt.Sprintf("127.0.0.1:%d", freePort(t)) }
	for _, c := range []struct {
		name string
		text func(t *testing.T) string
		want []string
	}{
		{
			"a port that another program serves", func(t *testing.T) string { return frontendAt(tcpHolder(t, false), "", "") },
			[]string{"listen 127.0.0.1:", "frontend chat", "address already in use", "ss -ltnp", "longsplice upgrade"},
		},
		{
			"a port that is served with SO_REUSEPORT", func(t *testing.T) string { return frontendAt(tcpHolder(t, true), "", "") },
			[]string{"listen 127.0.0.1:", "frontend chat", "address already in use", "ss -ltnp", "longsplice upgrade"},
		},
		{
			"an address that is not here", func(t *testing.T) string { return frontendAt("192.0.2.1:8080", "", "") },
			[]string{"listen 192.0.2.1:8080", "frontend chat", "freebind = true"},
		},
		{
			"an interface that is not here", func(t *testing.T) string { return frontendAt(any(t), "", `interface = "nosuch0"`) },
			[]string{"frontend chat", "nosuch0", "ip link"},
		},
		{
			"a unix socket without a folder", func(t *testing.T) string { return frontendAt("unix:"+t.TempDir()+"/nowhere/x.sock", "", "") },
			[]string{"nowhere/x.sock", "frontend chat", "folder"},
		},
		{
			"a unix socket that is served", func(t *testing.T) string { return frontendAt("unix:"+unixHolder(t), "", "") },
			[]string{"served.sock", "frontend chat", "another process serves it", "ss -lxp"},
		},
		{
			"a unix socket where a file is", func(t *testing.T) string { return frontendAt("unix:"+writeFile(t, "keep me"), "", "") },
			[]string{"/file", "frontend chat", "address already in use"},
		},
		{"a name that does not resolve", func(t *testing.T) string {
			return strings.Replace(frontendAt(any(t), "", ""), "127.0.0.1:9", "nosuch.test:80", 1)
		}, []string{"resolve backend chat/", "nosuch.test", "correct the name"}},
		{"a key file that is not there", func(t *testing.T) string {
			return frontendAt(any(t), `hash_key_file = "`+t.TempDir()+`/key"`, "")
		}, []string{"process.hash_key_file", "/key", "openssl rand -hex 16"}},
		{"a key file with something else", func(t *testing.T) string {
			return frontendAt(any(t), `hash_key_file = "`+writeFile(t, "00112233\n")+`"`, "")
		}, []string{"process.hash_key_file", "/file", "32 hexadecimal digits", "openssl rand -hex 16"}},
		{"an access log without a folder", func(t *testing.T) string {
			return frontendAt(any(t), `access_log = "`+t.TempDir()+`/nowhere/log"`, "")
		}, []string{"process.access_log", "nowhere/log", "no such file"}},
		{"an admin socket in a folder that cannot be made", func(t *testing.T) string {
			return strings.Replace(frontendAt(any(t), "", ""), `admin = ""`, `admin = "`+writeFile(t, "")+`/admin.sock"`, 1)
		}, []string{"folder of the admin socket", "process.admin"}},
		{
			"a key for later", func(t *testing.T) string { return frontendAt(any(t), "", `accept_proxy_from = ["10.0.0.0/8"]`) },
			[]string{"test.toml:9", "accept_proxy_from", "not supported yet"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			text := c.text(t)
			err := tryStart(t, text)
			if err == nil {
				t.Fatalf("started with\n%s", text)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// A file that is no socket is somebody's data, whatever the configuration calls it.
func TestAFileIsNotRemovedForASocket(t *testing.T) {
	path := writeFile(t, "keep me")
	if err := tryStart(t, frontendAt("unix:"+path, "", "")); err == nil {
		t.Error("started on a plain file")
	}
	if data, _ := os.ReadFile(path); string(data) != "keep me" {
		t.Error("the file is gone")
	}
}

func TestAStaleSocketIsReplacedAndTheNewOneRemoved(t *testing.T) {
	testkit.LeakCheck(t)
	path := filepath.Join(t.TempDir(), "s.sock")
	stale, err := sys.ListenUnix(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	sys.Real{}.Close(stale)
	b := start(t, "%s", frontendAt("unix:"+path, "", ""))
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the new socket does not serve: %v", err)
	}
	c.Close()
	b.Shutdown(context.Background())
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// What another process serves stays as it is when a Start fails, also if it failed after other sockets were opened.
func TestAFailedStartRemovesOnlyItsOwnSockets(t *testing.T) {
	testkit.LeakCheck(t)
	own, served := filepath.Join(t.TempDir(), "own.sock"), unixHolder(t)
	err := tryStart(t, frontendAt(`unix:`+own+`", "unix:`+served, "", ""))
	if err == nil || !strings.Contains(err.Error(), served) {
		t.Fatalf("error %v does not name %s", err, served)
	}
	if _, err := os.Stat(own); err == nil {
		t.Errorf("%s was left behind", own)
	}
	if _, err := os.Stat(served); err != nil {
		t.Errorf("the socket of another process was removed: %v", err)
	}
}

func TestFreebindListensWhereNoAddressIs(t *testing.T) {
	testkit.LeakCheck(t)
	if err := tryStart(t, frontendAt(fmt.Sprintf("192.0.2.1:%d", freePort(t)), "", "freebind = true")); err != nil {
		t.Error(err)
	}
}

// The configuration allows a wildcard beside one of its addresses: SO_REUSEPORT does, and the kernel prefers the nearer.
func TestAWildcardAndOneOfItsAddresses(t *testing.T) {
	testkit.LeakCheck(t)
	port := freePort(t)
	for _, listen := range []string{`0.0.0.0:%[1]d", "127.0.0.1:%[1]d`, `127.0.0.1:%[1]d", "0.0.0.0:%[1]d`, `0.0.0.0:%[1]d", "[::]:%[1]d`} {
		if err := tryStart(t, frontendAt(fmt.Sprintf(listen, port), "", "")); err != nil {
			t.Errorf("listen %s: %v", fmt.Sprintf(listen, port), err)
		}
	}
}

// Two processes with the same admin socket: the lock says so, with the process id, before anything is bound.
func TestASecondProcessIsRefused(t *testing.T) {
	testkit.LeakCheck(t)
	admin, port := filepath.Join(t.TempDir(), "admin.sock"), freePort(t)
	text := strings.Replace(frontendAt(fmt.Sprintf("127.0.0.1:%d", port), "", ""), `admin = ""`, `admin = "`+admin+`"`, 1)
	other := strings.Replace(text, strconv.Itoa(port), strconv.Itoa(freePort(t)), 1)
	noLock := frontendAt(fmt.Sprintf("127.0.0.1:%d", port), "", "")
	b := start(t, "%s", text)

	out := output(t, child(t, "start", text))
	for _, want := range []string{fmt.Sprintf("listen 127.0.0.1:%d: already served by longsplice pid %d", port, os.Getpid()), "to replace it: longsplice upgrade"} {
		if !strings.Contains(out, want) {
			t.Errorf("the same configuration: %q does not say %q", out, want)
		}
	}
	served := (*ServedError)(nil)
	if err := tryStart(t, other); !errors.As(err, &served) || served.PID != os.Getpid() || !strings.Contains(served.What, admin) {
		t.Errorf("another port: %v, want a ServedError of %s", err, admin)
	}
	if out := output(t, child(t, "start", noLock)); !strings.Contains(out, "address already in use") {
		t.Errorf("without a lock: %q, want that the address is in use", out)
	}
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if errors.Is(err, sys.ECONNREFUSED) { // a reset is an answer: there is no backend
		t.Error("the first process no longer serves")
	}
	if c != nil {
		c.Close()
	}
	b.Shutdown(context.Background())
	if err := tryStart(t, text); err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
}

func TestALowPortWithoutThePrivilege(t *testing.T) {
	testkit.Privileged(t, "root")
	if first := sys.ReadInt("/proc/sys/net/ipv4/ip_unprivileged_port_start", 1024); first <= 81 {
		t.Skipf("ports from %d on are free for all here", first)
	}
	out := output(t, child(t, "start", frontendAt("127.0.0.1:81", "", ""), "UID_WANTED=65534"))
	for _, want := range []string{"error: listen 127.0.0.1:81 (frontend chat)", "CAP_NET_BIND_SERVICE"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q does not say %q", out, want)
		}
	}
}

func TestTooFewDescriptors(t *testing.T) {
	text := frontendAt(fmt.Sprintf("127.0.0.1:%d", freePort(t)), "workers = 2", "")
	out := output(t, child(t, "start", text, "NOFILE=60"))
	for _, want := range []string{"error: no session fits", "RLIMIT_NOFILE 60 (hard 60)", "ulimit -n", "LimitNOFILE="} {
		if !strings.Contains(out, want) {
			t.Errorf("%q does not say %q", out, want)
		}
	}
}

// However few descriptors are left, a Start that fails gives all of its own back, and says what would help.
func TestNothingLeaksWhereverDescriptorsRunOut(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	text := frontendAt(fmt.Sprintf("127.0.0.1:%d", freePort(t)), "workers = 2\naccess_log = \""+log+"\"", "")
	out := output(t, child(t, "descriptors", text, "NOFILE=200"))
	t.Log(out)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) < 4 {
		t.Errorf("only %d steps failed: the test does not go through them all", len(lines)-1)
	}
	for _, line := range lines[:len(lines)-1] {
		if !strings.Contains(line, "too many open files") || !strings.Contains(line, "ulimit -n") {
			t.Errorf("%q does not say what is wrong and what would help", line)
		}
	}
}
