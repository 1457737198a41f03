package scale

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
	"golang.org/x/sys/unix"
)

// asPart makes this test binary behave as one of the programs that a run starts; its value is the fault of the balancer.
const asPart = "LONGSPLICE_SCALE_PART"

func TestMain(m *testing.M) {
	fault, part := os.LookupEnv(asPart)
	if !part {
		os.Exit(m.Run())
	}
	if err := play(os.Args[1], os.Args[2:], fault); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func play(part string, args []string, fault string) error {
	flags := map[string][]string{}
	for i := 0; i+1 < len(args); i += 2 {
		flags[args[i]] = append(flags[args[i]], args[i+1])
	}
	switch part {
	case "serve":
		return playBackend(flags["--listen"])
	case "hold":
		cfg := load.Config{To: []netip.AddrPort{netip.MustParseAddrPort(flags["--to"][0])}, Patience: 30 * time.Second}
		cfg.Sources = append(cfg.Sources, netip.MustParseAddr(flags["--source"][0]))
		return load.Hold(cfg, 0, os.Stdin, os.Stdout)
	default:
		return playBalancer(flags["-c"][0], fault)
	}
}

func playBackend(listen []string) error {
	var addrs []netip.AddrPort
	for _, a := range listen {
		addrs = append(addrs, netip.MustParseAddrPort(a))
	}
	s, err := serve.Open(serve.Echo, addrs)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	return s.Run(func() bool { return false })
}

// playBalancer relays from the first address of the configuration to the second.
func playBalancer(config, fault string) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`127[0-9.]+:\d+`).FindAllString(string(text), -1)
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
	ln, err := shared.Listen(context.Background(), "tcp", found[0])
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, ready)
	for n := 0; ; n++ {
		client, err := ln.Accept()
		if err != nil {
			return err
		}
		server, err := net.Dial("tcp", found[1])
		if err != nil {
			return err
		}
		switch {
		case n == 20 && fault == "lose":
			client.Close()
		case n == 20 && fault == "break":
			_, err = server.Write([]byte("x"))
		}
		if err != nil {
			return err
		}
		go func() { _, _ = io.Copy(server, client); server.Close() }()
		go func() { _, _ = io.Copy(client, server); client.Close() }()
	}
}

// small is a run over parts that this binary plays.
func small(t *testing.T, fault string, progress func(string)) (*Result, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asPart, fault)
	return Run(context.Background(), Config{
		Self: self, Longsplice: self, Processes: 2, Sessions: 120, Steps: 3, Rest: 10 * time.Millisecond, Progress: progress,
	})
}

func TestRunHoldsMeasuresAndChecks(t *testing.T) {
	testkit.LeakCheck(t)
	said := 0
	res, err := small(t, "", func(line string) { said++; t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + strings.Join(res.Lines(), "\n"))
	if !res.Sound() || res.Sessions != 120 || res.Checked != 120 || len(res.Steps) != 3 || said == 0 {
		t.Fatalf("%+v", *res)
	}
	for i, m := range res.Steps {
		if m.Sessions != 40*(i+1) || m.FDs-res.Base.FDs < 2*m.Sessions || m.RSS <= 0 || m.RestSeconds <= 0 {
			t.Errorf("step %d, without a session %d fds: %+v", i, res.Base.FDs, m)
		}
	}
	if g := res.KernelFrom; g == fromGroup && res.Kernel.Slope < 2000 {
		t.Errorf("%.0f bytes of the kernel for two sockets", res.Kernel.Slope)
	}
}

func TestSessionsThatAreNotHeldAreSeen(t *testing.T) {
	for _, fault := range []string{"lose", "break"} {
		t.Run(fault, func(t *testing.T) {
			testkit.LeakCheck(t)
			res, err := small(t, fault, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.Sound() || res.Wrong+res.Failed == 0 || res.FirstError == "" {
				t.Errorf("not seen: %+v", *res)
			}
		})
	}
}

func TestACancelledRunTakesEverythingDown(t *testing.T) {
	testkit.LeakCheck(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asPart, "")
	ctx, cancel := context.WithCancel(context.Background())
	res, err := Run(ctx, Config{Self: self, Longsplice: self, Processes: 2, Sessions: 100, Progress: func(string) { cancel() }})
	if err == nil {
		t.Errorf("it went on: %+v", *res)
	}
	if group, err := newGroup(); err == nil {
		group.remove() // the name is free again
	}
}
