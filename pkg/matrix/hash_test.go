package matrix

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// T25: boxes that share a key agree where each client goes, whatever the order of the lines in their configurations and
// whoever else they serve. When one of N backends is taken out, at most 1/N + 1 % of the clients go elsewhere.
func TestBoxesAgree(t *testing.T) {
	const n, clients = 20, 2000
	key := filepath.Join(t.TempDir(), "hash.key")
	if err := os.WriteFile(key, []byte("000102030405060708090a0b0c0d0e0f"), 0o600); err != nil {
		t.Fatal(err)
	}
	box := func(name string, lines []string, more string) []string {
		p := run(t, setup{
			process: fmt.Sprintf("name = %q\nhash_key_file = %q", name, key),
			config: more + frontend("table", freeAddress(t, "127.0.0.1"), "table") +
				"[[pool]]\nname = \"table\"\nhash = \"client\"\n" + noChecks + "\n" + strings.Join(lines, ""),
		})
		return p.places(clients)
	}
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("[[pool.backend]]\nname = \"b%d\"\naddress = \"127.0.1.%d:9\"\n", i, i+1))
	}
	here := box("here", lines, "")

	backward := slices.Clone(lines)
	slices.Reverse(backward)
	other := pool("other", []string{"127.0.2.1:9"}) + frontend("other", freeAddress(t, "127.0.0.1"), "other")
	if moved := differing(here, box("there", append(backward[7:], backward[:7]...), other)); moved != 0 {
		t.Errorf("%d of %d clients go elsewhere on a box that names the same backends in another order", moved, clients)
	}

	moved := float64(differing(here, box("later", slices.Delete(slices.Clone(lines), 6, 7), ""))) / clients
	held := 0
	for _, place := range here {
		if place == "127.0.1.7:9" {
			held++
		}
	}
	t.Logf("without one of %d, %.2f %% of %d clients go elsewhere; it had %.2f %%", n, 100*moved, clients, 100*float64(held)/clients)
	if most := float64(held)/clients + 0.01; moved > most {
		t.Errorf("%.2f %% of the clients go elsewhere without one of %d backends, want at most %.2f %%", 100*moved, n, 100*most)
	}
}

// differing counts the places that are not the same.
func differing(a, b []string) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
