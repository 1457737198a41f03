package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

const gibibyte = 1 << 30

func TestGibibyteArrivesWhole(t *testing.T) {
	testkit.LeakCheck(t)
	n := startNginx(t, address(t, "127.0.0.1"))
	sum := n.fill(t, "file", gibibyte)
	cases := []struct {
		name     string
		transfer func(t *testing.T, f *front, n nginx, sum string, args ...string) expected
	}{{"to the client", download}, {"to the backend", upload}}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := balance(t, setup{backends: n.addresses})
			want := c.transfer(t, f, n, sum)
			want.spliced = gibibyte / 2
			f.judge(t, want)
		})
	}
}

func TestEveryRelayModeKeepsTheBytes(t *testing.T) {
	testkit.LeakCheck(t)
	const size = 64 << 20
	n := startNginx(t, address(t, "127.0.0.1"))
	sum := n.fill(t, "file", size)
	cases := []struct {
		mode    string
		spliced uint64
	}{{"copy", 0}, {"splice", size}, {"auto", size / 2}}
	for _, c := range cases {
		t.Run(c.mode, func(t *testing.T) {
			f := balance(t, setup{relay: c.mode, backends: n.addresses})
			fast, slow := download(t, f, n, sum), download(t, f, n, sum, "--limit-rate", "50M")
			up := upload(t, f, n, sum)
			f.judge(t, expected{
				sessions: 3, exactBytes: true, spliced: 3 * c.spliced,
				toBackend: fast.toBackend + slow.toBackend + up.toBackend, toClient: fast.toClient + slow.toClient + up.toClient,
			})
		})
	}
}

// download gets the file with curl, compares its SHA-256 and returns what curl says about the session.
func download(t *testing.T, f *front, _ nginx, sum string, args ...string) expected {
	t.Helper()
	got := sha256.New()
	want := curl(t, f, got, "/file", args...)
	if s := hex.EncodeToString(got.Sum(nil)); s != sum {
		t.Errorf("curl received a file with SHA-256 %s, nginx has %s", s, sum)
	}
	return want
}

// upload puts nginx's own file there once more, under another name, and compares what nginx has stored.
func upload(t *testing.T, f *front, n nginx, sum string, args ...string) expected {
	t.Helper()
	if !hasDAV(t) {
		testkit.Missing(t, "nginx's http_dav_module")
	}
	want := curl(t, f, io.Discard, "/copy", append(args, "--upload-file", filepath.Join(n.root, "file"))...)
	if s := sumFile(t, filepath.Join(n.root, "copy")); s != sum {
		t.Errorf("nginx stored a file with SHA-256 %s, curl sent %s", s, sum)
	}
	return want
}

// curl makes one request through f and writes the answer's body to body. It counts each byte of its session and writes
// these counts to stderr.
func curl(t *testing.T, f *front, body io.Writer, path string, args ...string) expected {
	t.Helper()
	const counts = "%{stderr}%{size_request} %{size_upload} %{size_header} %{size_download}"
	args = append(args, "--silent", "--show-error", "--fail", "--globoff", "--write-out", counts)
	args = append(args, "--speed-limit", "1", "--speed-time", "10") // give up when nothing comes for 10 s
	host := f.address
	if network, socket := split(f.address); network == "unix" {
		args = append(args, "--unix-socket", socket)
		host = "localhost"
	}
	if strings.HasPrefix(host, "[") {
		args = append(args, "--ipv6")
	}
	out := runTo(t, body, "curl", append(args, "http://"+host+path)...)
	var request, sent, header, received uint64
	if _, err := fmt.Sscan(out, &request, &sent, &header, &received); err != nil {
		t.Fatalf("curl wrote no counts: %q: %v", out, err)
	}
	return expected{sessions: 1, toBackend: request + sent, toClient: header + received, exactBytes: true}
}
