package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/config"
)

const good = `
[process]
admin = ""
[[frontend]]
name = "chat"
listen = ["127.0.0.1:8443"]
[[frontend]]
name = "plain"
listen = ["127.0.0.1:8081"]
backends = ["127.0.0.1:9003"]
[[pool]]
name = "chat"
[[pool.backend]]
name = "b1"
address = "127.0.0.1:9001"
[[pool.backend]]
name = "b2"
address = "127.0.0.1:9002"
`

const bad = `[process]
workers = -1
nonsense = 3
[[frontend]]
name = "chat"
listen = ["nowhere"]
pool = "chta"
`

func TestCheckOfARightFile(t *testing.T) {
	path := write(t, good)
	call("check", "-c", path).expect(t, exitOK, "ok: 2 frontends, 2 pools, 3 backends\n", "")

	r := call("check", "-c", path, "--json")
	r.expect(t, exitOK, `"problems": []`, "")
	var report checkReport
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if !report.OK || report.Frontends != 2 || report.Pools != 2 || report.Backends != 3 || len(report.Files) != 1 || report.Files[0] != path {
		t.Errorf("the report is %+v", report)
	}
}

func TestCheckOfAWrongFile(t *testing.T) {
	path := write(t, bad)
	r := call("check", "-c", path)
	r.expect(t, exitUsage, "", path+":2: process.workers: ")
	r.expect(t, exitUsage, "", path+":3: process.nonsense: ")
	r.expect(t, exitUsage, "", path+":6: ")
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	for _, line := range lines {
		if !strings.HasPrefix(line, path+":") || !strings.Contains(line, "; ") {
			t.Errorf("%q is not FILE:LINE: key: what is wrong; what would be right", line)
		}
	}

	asJSON := call("check", "-c", path, "--json")
	asJSON.expect(t, exitUsage, `"ok": false`, "")
	var report checkReport
	if err := json.Unmarshal([]byte(asJSON.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) != len(lines) || report.Problems[0].Line != 2 || report.Problems[0].Key != "process.workers" {
		t.Errorf("%d problems where the text has %d; the first is %+v", len(report.Problems), len(lines), report.Problems[0])
	}
}

func TestCheckAndRunRefuseTheSame(t *testing.T) {
	for _, c := range []struct{ name, text, stderr string }{
		{"wrong", bad, ":3: process.nonsense: "},
		{"not supported yet", strings.Replace(good, "[[pool]]\n", "[[pool]]\nsend_proxy = \"v1\"\n", 1), "send_proxy: is not supported yet"},
		{"no TOML", "[[", ":1: "},
	} {
		path := write(t, c.text)
		for _, command := range []string{"check", "run"} {
			t.Run(command+" "+c.name, func(t *testing.T) { call(command, "-c", path).expect(t, exitUsage, "", c.stderr) })
		}
	}
	gone := filepath.Join(t.TempDir(), "gone.toml")
	call("run", "-c", gone).expect(t, exitUsage, "", gone+": cannot be read: no such file or directory")
}

func TestUnknownKeysMayBeWarnedOf(t *testing.T) {
	path := write(t, "[process]\nadmn = \"\"\n[[frontend]]\nname = \"a\"\nlisten = [\"127.0.0.1:8081\"]\nbackends = [\"127.0.0.1:9003\"]\n")
	call("check", "-c", path).expect(t, exitUsage, "", path+":2: process.admn: ")
	call("check", "-c", path, "--ignore-unknown-keys").expect(t, exitOK, "ok: 1 frontend, 1 pool, 1 backend\n", "process.admn: ")
}

func TestConfigurationsAreReadTogether(t *testing.T) {
	first := write(t, "[[frontend]]\nname = \"a\"\nlisten = [\"127.0.0.1:${PORT}\"]\nbackends = [\"127.0.0.1:9003\"]\n")
	folder := filepath.Join(t.TempDir(), "a,b") // commas do not separate
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "b.toml"), []byte(strings.Replace(good, "[process]", "[process]\nname = \"x\"", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	callIn(map[string]string{"PORT": "8088"}, "check", "-c", first, "-c", folder).expect(t, exitOK, "ok: 3 frontends, 3 pools, 4 backends\n", "")
	call("check", "-c", first, "-c", folder).expect(t, exitUsage, "", first+":3: frontend.a.listen")
}

func TestPrintIsAConfiguration(t *testing.T) {
	r := call("check", "--print", "-c", write(t, good))
	r.expect(t, exitOK, "# default", "")
	c, _, err := config.Parse("printed.toml", []byte(r.stdout), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Frontends) != 2 || len(c.Pools) != 2 {
		t.Errorf("%d frontends and %d pools came back", len(c.Frontends), len(c.Pools))
	}
	call("check", "--print", "--json", "-c", write(t, good)).expect(t, exitOK, `"effective": "[process]\n`, "")
}

func TestDiffIsRefused(t *testing.T) {
	call("check", "--diff", "-c", write(t, good)).expect(t, exitUsage, "", "check --diff: not supported yet")
}

func TestLiveLooksAtThisHost(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	frontend := func(listen, more string) string {
		return fmt.Sprintf("[process]\nadmin = \"\"\n[[frontend]]\nname = \"a\"\nlisten = [%q]\nbackends = [\"127.0.0.1:9\"]\n%s", listen, more)
	}
	free := freePort(t)
	for _, c := range []struct{ name, text, lack string }{
		{"all is well", frontend(free, ""), ""},
		{"a busy port", frontend(busy.Addr().String(), ""), "frontend.a.listen: " + busy.Addr().String() + ": bind: address already in use; `ss -ltnp`"},
		{"an address that is not here", frontend("192.0.2.1:8081", ""), "192.0.2.1:8081: bind: cannot assign requested address; no interface has it"},
		{"the same, and it may come later", frontend("192.0.2.1:8081", "freebind = true"), ""},
		{"no folder for a socket", frontend("unix:/nonexistent/a.sock", ""), "frontend.a.listen: there is no folder /nonexistent; create it"},
		{"no such interface", frontend(free, `interface = "nowhere9"`), "frontend.a.interface: there is no interface nowhere9"},
		// .onion names are never asked of DNS (RFC 7686): nothing leaves this host.
		{"no such name", strings.Replace(frontend(free, ""), "127.0.0.1:9", "nowhere.onion:9", 1), "nowhere.onion"},
		{"no such key file", strings.Replace(frontend(free, ""), "admin", "hash_key_file = \"/nonexistent/key\"\nadmin", 1), "process.hash_key_file: open /nonexistent/key"},
		{"no folder for the log", strings.Replace(frontend(free, ""), "admin", "access_log = \"/nonexistent/log\"\nadmin", 1), "process.access_log: there is no folder /nonexistent"},
		{"more sessions than files", strings.Replace(frontend(free, ""), "admin", "max_sessions = 2000000000\nadmin", 1), "process.max_sessions: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.text)
			call("check", "-c", path).expect(t, exitOK, "ok: ", "")
			if c.lack == "" {
				call("check", "--live", "-c", path).expect(t, exitOK, "ok: ", "")
				return
			}
			call("check", "--live", "-c", path).expect(t, exitShort, "", c.lack)
			call("check", "--live", "--json", "-c", path).expect(t, exitShort, `"ok": false`, "")
		})
	}
}

// freePort is an address of loopback that nobody serves at this moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
