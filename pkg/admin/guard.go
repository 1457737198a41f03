package admin

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// request is what is known of a caller once it has passed the door.
type request struct {
	door *door
	held bool // it carries the token
}

// sees tells whether the caller may see client addresses.
func (q request) sees() bool { return q.door.kind == doorSocket || q.held }

// enter is the way of every request: who, from where, by which name, then what.
func (s *Server) enter(d *door) http.Handler {
	mux := s.routes(d)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if p := s.stop(request{d, s.holdsToken(r)}, r); p != nil {
			p.write(w)
			return
		}
		_, pattern := mux.Handler(r)
		switch {
		case pattern == "":
			(&problem{http.StatusNotFound, "not_found", "there is no " + r.URL.Path, nil}).write(w)
		case pattern != alivePath && !s.started.Load():
			(&problem{http.StatusServiceUnavailable, "starting", "longsplice is starting", nil}).write(w)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// secure sets what every answer carries. There are no CORS headers: no other origin may read an answer.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
}

// stop tells what is wrong with a request whatever it asks for; nil: nothing.
func (s *Server) stop(q request, r *http.Request) *problem {
	p := q.door.wrongCaller(r)
	switch {
	case p != nil:
		return p
	case crossSite(r): // at the socket too: `ssh -L` puts it where a browser gets at it
		return &problem{http.StatusForbidden, "cross_site", "the request comes from another site's page", nil}
	case !q.held && !s.knownHost(q.door, r.Host):
		// A page of another site can have its name resolve to our address, and would then be of our origin.
		return &problem{
			http.StatusForbidden, "unknown_host",
			"the Host header names " + r.Host + ", which is not a name of this server; use its address or the host's own name, or send the token", nil,
		}
	}
	return nil
}

// wrongCaller tells what is wrong with who asks, or how; nil: nothing.
func (d *door) wrongCaller(r *http.Request) *problem {
	if d.kind == doorSocket {
		if p, _ := r.Context().Value(peerKey{}).(peer); !p.mayEnter(d.group) {
			return &problem{http.StatusForbidden, "forbidden", "the admin socket serves root, the balancer's own user and members of process.admin_group", nil}
		}
		return nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return &problem{http.StatusMethodNotAllowed, "read_only", "nothing is changed over TCP; use the admin socket", nil}
	}
	if r.ContentLength != 0 {
		return &problem{http.StatusBadRequest, "bad_request", "a request over TCP has no body", nil}
	}
	return nil
}

// crossSite tells whether a browser sends the request for a page of another origin. A link to the status page may be
// followed from anywhere: what it opens is out of reach of the page that holds the link.
func crossSite(r *http.Request) bool {
	if o := r.Header.Get("Origin"); o != "" && o != "http://"+r.Host && o != "https://"+r.Host {
		return true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.URL.Path != "/" || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// hostNames are the names that lead here for sure; none of them can be somebody else's.
func hostNames(o Options) map[string]bool {
	names := map[string]bool{"localhost": true}
	own, _ := os.Hostname()
	for _, n := range append(o.Hosts, o.Process.Name, own) {
		if n != "" {
			names[strings.ToLower(n)] = true
		}
	}
	return names
}

// knownHost looks at a Host header. An address is no name and cannot be made to resolve to us; it still has to be ours,
// as far as we know ours: a listener for all addresses takes any.
func (s *Server) knownHost(d *door, host string) bool {
	if host == "" {
		return true // HTTP/1.0, as simple health checks speak it; a browser always sends one
	}
	name, _, err := net.SplitHostPort(host) // any port: it may be a forwarded one (ssh -L)
	if err != nil {
		name = host
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if ip, err := netip.ParseAddr(name); err == nil {
		listen := d.address.Addr()
		return ip.IsLoopback() || ip == listen || listen.IsUnspecified()
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if d.kind == doorSocket && !strings.Contains(name, ".") {
		return true // made up, as in `curl --unix-socket`; a name that somebody else owns has a dot
	}
	return s.names[name]
}

// holdsToken tells whether the request carries the token: as a bearer token or, for browsers, as the password of Basic
// authentication under any user name.
func (s *Server) holdsToken(r *http.Request) bool {
	if len(s.token) == 0 {
		return false
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Basic") {
		_, given, _ = r.BasicAuth()
	} else if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(given), s.token) == 1
}
