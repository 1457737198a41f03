package peers_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/longsplice/longsplice/benchmarks/peers"
	"github.com/longsplice/longsplice/pkg/config"
)

func TestOurOwnConfigurationIsValid(t *testing.T) {
	dir := t.TempDir()
	text, err := peers.Render("longsplice.cfg", peers.Data{
		Listen:   netip.MustParseAddrPort("127.0.0.1:8080"),
		Backends: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:9000"), netip.MustParseAddrPort("127.0.0.3:9000")},
		Dir:      dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "longsplice.toml")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.Load([]string{path}, config.Options{}); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestUnknownNamesAreErrors(t *testing.T) {
	if _, err := peers.Render("apache.cfg", peers.Data{}); err == nil {
		t.Error("a configuration that is not there was rendered")
	}
}
