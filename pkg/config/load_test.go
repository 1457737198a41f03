package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write makes files in a new folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFolderIsReadByNameAsOneConfiguration(t *testing.T) {
	dir := write(t, map[string]string{
		"10-process.toml": "[process]\nname = \"edge\"\n",
		"20-chat.toml":    "[process]\nworkers = 3\n" + shortest,
		"30-mail.toml":    strings.NewReplacer("chat", "mail", "443", "25").Replace(shortest),
		"40-old.toml.bak": "not TOML",
	})
	c, _, err := Load([]string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Process.Name != "edge" || c.Process.Workers != 3 {
		t.Errorf("the two [process] are not united: %+v", c.Process)
	}
	var names []string
	for _, f := range c.Frontends {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"chat", "mail"}, names); diff != "" {
		t.Error(diff)
	}
	if len(c.Files) != 3 {
		t.Errorf("read %q", c.Files)
	}
}

func TestProblemsOfSeveralFilesNameTheirFile(t *testing.T) {
	dir := write(t, map[string]string{
		"a.toml": "[relay]\nmode = \"copy\"\npipe_bytes = \"64KiB\"\n" + shortest,
		"b.toml": "[relay]\nlow_memory = 1\nmode = \"auto\"\n" + shortest,
		"c.toml": "[[relay]]\n",
	})
	_, _, err := Load([]string{dir}, Options{})
	got := strings.ReplaceAll(err.Error(), dir+"/", "")
	if diff := cmp.Diff(strings.Join([]string{
		"b.toml:2: relay.low_memory: is a whole number, not a boolean; write true or false",
		"b.toml:3: relay.mode: is already set at a.toml:2; keep one of them",
		"b.toml:5: frontend.chat.name: the frontend at a.toml:5 is called \"chat\", too; give each its own name",
		"b.toml:6: frontend.chat.listen: 0.0.0.0:443 is already used by frontend.chat at a.toml:6; give each its own address",
		"b.toml:7: frontend.chat.backends: the pool at a.toml:7 is called \"chat\", too; give each its own name",
		"c.toml:1: relay: is already set at a.toml:1; keep one of them",
	}, "\n"), got); diff != "" {
		t.Error(diff)
	}
}

func TestUnreadablePathsAreProblems(t *testing.T) {
	dir := write(t, map[string]string{"bad.toml": "[process\n", "x.conf": ""})
	empty := t.TempDir()
	_, _, err := Load([]string{filepath.Join(dir, "none.toml"), empty, filepath.Join(dir, "bad.toml")}, Options{})
	got := strings.ReplaceAll(strings.ReplaceAll(err.Error(), dir, "DIR"), empty, "EMPTY")
	if diff := cmp.Diff(strings.Join([]string{
		"DIR/none.toml: cannot be read: no such file or directory; name a TOML file or a folder of them",
		"EMPTY: this folder holds no *.toml; name a file, or put one there",
		"DIR/bad.toml:1: expected '.' or ']' to end table name, but got '\\n' instead; the file has to be TOML: https://toml.io",
	}, "\n"), got); diff != "" {
		t.Error(diff)
	}
}

func TestExamplesLoadWithoutComplaint(t *testing.T) {
	files, err := filepath.Glob("../../dist/examples/*.toml")
	if err != nil || len(files) < 4 {
		t.Fatalf("found %q: %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(data), "# ") {
				t.Error("does not open with its purpose")
			}
			c, warnings, err := Load([]string{file}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(warnings) > 0 {
				t.Error(Problems(warnings))
			}
			if ps := c.Unsupported(); len(ps) > 0 {
				t.Error(ps)
			}
		})
	}
}
