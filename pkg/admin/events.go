package admin

import (
	"net/http"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// events streams what happens: first the last events, then each as it comes, the event's word as the stream's. With
// ?follow=false it ends after the last ones.
func (s *Server) events(q request, w http.ResponseWriter, r *http.Request) *problem {
	v := r.URL.Query()
	if p := onlyKeys(v, "follow"); p != nil {
		return p
	}
	follow := v.Get("follow")
	if follow != "" && follow != "true" && follow != "false" {
		return badQuery("follow is true or false")
	}
	st, done, p := openStream(q.door, w, r)
	if p != nil {
		return p
	}
	defer done()
	if r.Method == http.MethodHead {
		return nil
	}
	s.sendEvents(st, r, follow != "false")
	return nil
}

func (s *Server) sendEvents(st *stream, r *http.Request, follow bool) {
	coming := s.view.Subscribe(r.Context()) // before Recent: an event between the two comes twice rather than never
	var last time.Time
	for _, e := range s.view.Recent() {
		if st.send(e.Name, e) != nil {
			return
		}
		last = e.Time
	}
	if !follow || st.beat() != nil {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			err = st.beat()
		case e, ok := <-coming:
			if !ok {
				return
			}
			if !e.Time.After(last) {
				continue // sent as one of the last
			}
			err = st.send(e.Name, e)
		}
		if err != nil {
			return
		}
	}
}

// public are the events that are about the process, its pools and backends, never about a client or an operator.
var public = map[string]bool{
	"started": true, "stopped": true, "reload_ok": true, "reload_failed": true, "backend_unhealthy": true, "backend_healthy": true,
	"backend_ejected": true, "panic_on": true, "panic_off": true, "accept_paused": true, "fds_low": true, "ports_low": true,
	"degraded": true, "handoff_begin": true, "handoff_done": true, "handoff_failed": true, "drain_begin": true, "drain_done": true,
}

// shown are the newest n events, the newest first, as a caller may see them: all, or the public ones without their fields.
func shown(recent []balancer.Event, all bool, n int) []balancer.Event {
	out := make([]balancer.Event, 0, n)
	for i := len(recent) - 1; i >= 0 && len(out) < n; i-- {
		e := recent[i]
		if !all && !public[e.Name] {
			continue
		}
		if !all {
			e.Fields = nil
		}
		out = append(out, e)
	}
	return out
}
