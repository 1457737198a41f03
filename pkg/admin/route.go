package admin

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
)

// endpoint answers a request that may be answered; a problem that it returns has yet to be written.
type endpoint func(s *Server, q request, w http.ResponseWriter, r *http.Request) *problem

// route is one path, what it asks of its callers and what it does by method. GET answers HEAD too.
type route struct {
	path    string
	need    role
	methods map[string]endpoint
}

// get is an endpoint that only answers.
func get(path string, need role, e endpoint) route {
	return route{path, need, map[string]endpoint{http.MethodGet: e}}
}

// later is an endpoint of the contract that is not built yet.
func later(method, path string) route {
	return route{path, roleAdmin, map[string]endpoint{method: notSupportedYet}}
}

// alivePath is answered also while the process starts.
const alivePath = "/healthz"

// table is every endpoint. A path in it is known at every door; who may use it there is for door.refusal to say.
var table = []route{
	get(alivePath, roleMetrics, (*Server).alive),
	get("/readyz", roleMetrics, (*Server).ready),
	get("/metrics", roleMetrics, (*Server).scrape),

	get("/{$}", roleRead, (*Server).page),
	get("/v1/live", roleRead, (*Server).watch),
	get("/v1/status", roleRead, (*Server).status),
	get("/v1/frontends", roleRead, (*Server).frontends),
	get("/v1/pools", roleRead, (*Server).pools),
	get("/v1/workers", roleRead, (*Server).workers),

	get("/v1/sessions", roleClients, (*Server).sessions),
	get("/v1/explain", roleClients, (*Server).explain),
	get("/v1/events", roleClients, (*Server).events),

	later(http.MethodDelete, "/v1/sessions/{id}"),
	later(http.MethodPost, "/v1/pools/{pool}/backends/{name}"),
	later(http.MethodPost, "/v1/frontends/{name}"),
	later(http.MethodPost, "/v1/drain"),
	later(http.MethodPost, "/v1/undrain"),
	later(http.MethodPost, "/v1/reload"),
	later(http.MethodPost, "/v1/upgrade"),

	get("/debug/pprof/", roleAdmin, profile(pprof.Index)),
	get("/debug/pprof/cmdline", roleAdmin, profile(pprof.Cmdline)),
	get("/debug/pprof/profile", roleAdmin, profile(pprof.Profile)),
	get("/debug/pprof/symbol", roleAdmin, profile(pprof.Symbol)),
	get("/debug/pprof/trace", roleAdmin, profile(pprof.Trace)),
}

// routes are the endpoints as door d serves them.
func (s *Server) routes(d *door) *http.ServeMux {
	mux := http.NewServeMux()
	for _, rt := range table {
		mux.HandleFunc(rt.path, func(w http.ResponseWriter, r *http.Request) {
			q := request{d, s.holdsToken(r)}
			if p := rt.serve(s, q, w, r); p != nil {
				p.write(w)
			}
		})
	}
	return mux
}

// serve checks the role before the method: who may not use a path learns nothing else about it.
func (rt *route) serve(s *Server, q request, w http.ResponseWriter, r *http.Request) *problem {
	if p := q.door.refusal(rt.need, q.held, len(s.token) > 0); p != nil {
		return p
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	e, ok := rt.methods[method]
	if !ok {
		w.Header().Set("Allow", rt.allow())
		return &problem{http.StatusMethodNotAllowed, "method_not_allowed", r.URL.Path + " takes " + rt.allow(), nil}
	}
	return e(s, q, w, r)
}

// allow is the Allow header's value.
func (rt *route) allow() string {
	var all []string
	for m := range rt.methods {
		all = append(all, m)
		if m == http.MethodGet {
			all = append(all, http.MethodHead)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func notSupportedYet(_ *Server, _ request, _ http.ResponseWriter, r *http.Request) *problem {
	return &problem{http.StatusNotImplemented, "not_supported_yet", r.Method + " " + r.URL.Path + " is not supported yet", nil}
}

// profile serves one of net/http/pprof's pages; they lift writeTimeout themselves where they take as long as asked to.
func profile(h http.HandlerFunc) endpoint {
	return func(_ *Server, _ request, w http.ResponseWriter, r *http.Request) *problem {
		h(w, r)
		return nil
	}
}

// problem is an error as the API answers it.
type problem struct {
	status  int
	code    string // a word that programs may compare
	message string // for people
	details []string
}

func (p *problem) write(w http.ResponseWriter) {
	if p.status == http.StatusUnauthorized { // Basic too, so that a browser asks
		w.Header()["Www-Authenticate"] = []string{"Bearer", `Basic realm="longsplice", charset="UTF-8"`}
	}
	type body struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Details []string `json:"details"`
	}
	writeJSON(w, p.status, map[string]body{"error": {p.code, p.message, append([]string{}, p.details...)}})
}

// writeJSON answers with v. An error of writing means that the caller has gone: there is nobody to tell.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
