// Package peers holds the configurations of the balancers that the benchmarks compare: templates over Data, each
// opening with its purpose.
package peers

import (
	"bytes"
	"embed"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed *.cfg *.nft
var files embed.FS

var templates = template.Must(template.ParseFS(files, "*.cfg", "*.nft"))

// Data fills a template.
type Data struct {
	Listen       netip.AddrPort   // where clients connect
	Backends     []netip.AddrPort // used in turn
	Dir          string           // an empty folder for pid files and the like
	Threads      int              // workers, threads: the same for all
	MaxSessions  int              // what OpenFiles allows
	OpenFiles    int              // RLIMIT_NOFILE of the balancer
	StreamModule string           // path of nginx's stream module; "": built in
}

// Render returns the configuration called name, such as "haproxy.cfg".
func Render(name string, d Data) ([]byte, error) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, d); err != nil {
		return nil, fmt.Errorf("render configuration %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// StreamModule is nginx's, where the distribution builds it as a module.
func StreamModule() string {
	for _, dir := range []string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"} {
		path := filepath.Join(dir, "ngx_stream_module.so")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}
