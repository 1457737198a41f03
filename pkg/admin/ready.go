package admin

import (
	"net/http"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// alive answers as long as the process does: a reason to restart it is that this fails, never that readyz does.
func (s *Server) alive(_ request, w http.ResponseWriter, _ *http.Request) *problem {
	writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
	return nil
}

// readiness is what /readyz answers, with 200 if Ready and else 503.
type readiness struct {
	Ready  bool        `json:"ready"`
	Reason string      `json:"reason,omitempty"`
	Pools  []poolReady `json:"pools"`
}

// poolReady counts backends that are configured; removed ones that still hold sessions are left out.
type poolReady struct {
	Name     string `json:"name"`
	Healthy  int    `json:"healthy"`
	Backends int    `json:"backends"`
	Panic    bool   `json:"panic"`
}

// ready tells whether traffic should come here. With ?frontend=NAME only if that frontend has somewhere to send it: by
// this an external tool withdraws one route and not all.
func (s *Server) ready(_ request, w http.ResponseWriter, r *http.Request) *problem {
	if p := onlyKeys(r.URL.Query(), "frontend"); p != nil {
		return p
	}
	st := s.view.Status()
	answer := readiness{Ready: st.Ready && !st.Draining, Reason: st.NotReady, Pools: poolsReady(s.view.Pools())}
	if st.Draining {
		answer.Reason = "draining"
	}
	if r.URL.Query().Has("frontend") && answer.Ready {
		f := findFrontend(s.view.Frontends(), r.URL.Query().Get("frontend"))
		if f == nil {
			return &problem{http.StatusNotFound, "not_found", "there is no frontend " + r.URL.Query().Get("frontend"), nil}
		}
		answer.Ready, answer.Reason = f.takes(answer.Pools)
	}
	code := http.StatusOK
	if !answer.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, answer)
	return nil
}

func poolsReady(pools []balancer.PoolStatus) []poolReady {
	all := make([]poolReady, 0, len(pools))
	for i := range pools {
		p := &pools[i]
		ready := poolReady{Name: p.Name, Panic: p.Panic}
		for j := range p.Backends {
			if p.Backends[j].Removed {
				continue
			}
			ready.Backends++
			if p.Backends[j].State == stateHealthy {
				ready.Healthy++
			}
		}
		all = append(all, ready)
	}
	return all
}

type frontend balancer.FrontendStatus

// findFrontend returns nil if no such frontend is configured now.
func findFrontend(all []balancer.FrontendStatus, name string) *frontend {
	for i := range all {
		if all[i].Name == name && !all[i].Removed {
			return (*frontend)(&all[i])
		}
	}
	return nil
}

// takes tells whether new sessions of f have a healthy backend to go to, and why not.
func (f *frontend) takes(pools []poolReady) (ok bool, why string) {
	if f.Draining {
		return false, "frontend " + f.Name + " is draining"
	}
	for _, p := range pools {
		if p.Name == f.Pool && p.Healthy > 0 {
			return true, ""
		}
	}
	return false, "pool " + f.Pool + " has no healthy backend"
}
