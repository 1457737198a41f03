package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// nginx is one nginx process that serves a folder and takes uploads into it.
type nginx struct {
	root      string
	addresses []string
}

// startNginx serves a fresh folder at some addresses, in the balancer's notation.
func startNginx(t *testing.T, addresses ...string) nginx {
	t.Helper()
	dir := t.TempDir()
	n := nginx{root: filepath.Join(dir, "www"), addresses: addresses}
	if err := os.Mkdir(n.root, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(n.configuration(dir, hasDAV(t))), 0o644); err != nil {
		t.Fatal(err)
	}
	launch(t, "nginx", "-p", dir, "-e", "stderr", "-c", path).serves(t, addresses...)
	return n
}

func (n nginx) configuration(dir string, dav bool) string {
	var b strings.Builder
	if os.Geteuid() == 0 {
		b.WriteString("user root;\n") // the folder is the test's alone
	}
	fmt.Fprintf(&b, "daemon off; master_process off; pid %s/pid; error_log stderr error;\nevents { worker_connections 1024; }\n", dir)
	fmt.Fprintf(&b, "http {\n  access_log off; sendfile on; root %s; client_max_body_size 0;\n", n.root)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "  %s_temp_path %s/%s;\n", kind, dir, kind)
	}
	b.WriteString("  server {\n")
	for _, a := range n.addresses {
		fmt.Fprintf(&b, "    listen %s;\n", a)
	}
	if dav {
		b.WriteString("    dav_methods PUT;\n")
	}
	b.WriteString("  }\n}\n")
	return b.String()
}

// hasDAV says whether this nginx can take uploads.
func hasDAV(t *testing.T) bool {
	t.Helper()
	out, err := exec.Command(testkit.NeedProgram(t, "nginx"), "-V").CombinedOutput()
	return err == nil && bytes.Contains(out, []byte("http_dav_module"))
}

// fill writes a file of noise into the served folder and returns its SHA-256.
func (n nginx) fill(t *testing.T, name string, size int64) string {
	t.Helper()
	file, err := os.Create(filepath.Join(n.root, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	noise := rand.NewChaCha8([32]byte{})
	sum := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(file, sum), io.LimitReader(noise, size), make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func sumFile(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func TestWrkSeesNoErrors(t *testing.T) {
	const (
		page        = 6000 // bytes: more than one segment, less than one read
		connections = 50
	)
	cases := []struct {
		name    string
		seconds string
		args    []string
	}{
		{"keep-alive", "2s", nil},
		{"a connection per request", "1s", []string{"-H", "Connection: close"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			n := startNginx(t, address(t, "127.0.0.1"), address(t, "127.0.0.1"))
			n.fill(t, "page", page)
			f := balance(t, setup{health: "type = \"http\"\npath = \"/page\"", backends: n.addresses})
			args := append([]string{"-t", "2", "-c", strconv.Itoa(connections), "-d", c.seconds}, c.args...)
			requests := wrk(t, append(args, "http://"+f.address+"/page")...)
			// wrk closes at its end with answers on the way to it, and a socket closed on unread bytes resets.
			f.judge(t, expected{toClient: requests * page, resets: map[string]uint64{"client_reset": connections}})
		})
	}
}

var wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)

// wrk returns the number of answers it counted. It writes lines for errors only if there were some.
func wrk(t *testing.T, args ...string) uint64 {
	t.Helper()
	out := run(t, "wrk", args...)
	for _, trouble := range []string{"Socket errors", "Non-2xx"} {
		if strings.Contains(out, trouble) {
			t.Errorf("wrk saw errors:\n%s", out)
		}
	}
	found := wrkRequests.FindStringSubmatch(out)
	if found == nil || found[1] == "0" {
		t.Fatalf("wrk counts no requests:\n%s", out)
	}
	n, err := strconv.ParseUint(found[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("wrk: %d requests, no errors", n)
	return n
}
