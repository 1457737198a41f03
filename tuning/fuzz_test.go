package tuning

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// Names come from state files: whatever they are, nothing outside of its root is meant by them.
func FuzzPlacesStayBelowTheirRoots(f *testing.F) {
	for _, name := range []string{
		"net.ipv4.ip_local_port_range", "net/ipv4/conf/eth0.100/rp_filter", "net/../../../etc/passwd", "", ".", "/", "..",
		"/r/etc/" + sysctlFile, "/r/etc/systemd/system/a.service.d/50-longsplice-tune.conf",
		"/r/etc/systemd/system/../x.d/50-longsplice-tune.conf", "/r/etc/systemd/system/a/b.d/50-longsplice-tune.conf",
	} {
		f.Add(name)
	}
	r := Under("/r")
	f.Fuzz(func(t *testing.T, name string) {
		if s, err := sysctlAt(r, name); err == nil && !strings.HasPrefix(filepath.Clean(string(s)), "/r/proc/sys/") {
			t.Errorf("sysctl %q is %q", name, s)
		}
		path, err := fileAt(r, name)
		if err != nil {
			return
		}
		clean := filepath.Clean(string(path))
		ours := clean == "/r/etc/"+sysctlFile || clean == "/r/etc/"+modulesFile ||
			strings.HasPrefix(clean, "/r/etc/systemd/system/") && strings.HasSuffix(clean, ".d/50-longsplice-tune.conf")
		if !ours {
			t.Errorf("file %q is %q", name, path)
		}
	})
}

func FuzzStateFile(f *testing.F) {
	f.Add(`{"version":1,"steps":[{"kind":"sysctl","name":"a.b","was":{"text":"base64:AA=="},"wrote":[{"text":"1\n"}]}],"folders":["/x"]}`)
	f.Add(`{"version":1,"steps":[{"kind":"file","name":"","was":null,"wrote":[]}]}`)
	f.Add("null")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRecord([]byte(text))
		if err != nil {
			return
		}
		written, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseRecord(written)
		if err != nil {
			t.Fatalf("what was read is written as %s, which is refused: %v", written, err)
		}
		if twice, _ := json.Marshal(again); string(twice) != string(written) {
			t.Errorf("written twice it is\n%s\n%s", written, twice)
		}
		for i := range r.Steps {
			r.Steps[i].ours(r.Steps[i].Was)
		}
	})
}

func FuzzPortList(f *testing.F) {
	for _, s := range []string{"", "8443,1000-1005,1006", "1-", "-", "9-1,5", "1,1,1", "8-1,9", "65535,65536"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if once := portList(s); portList(once) != once {
			t.Errorf("%q is %q, and that is %q", s, once, portList(once))
		}
	})
}
