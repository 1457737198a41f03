package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// queryTimeout is how long the workers may take to list sessions.
const queryTimeout = 10 * time.Second

// maxSessions is the longest page of sessions.
const maxSessions = 10_000

// status is the program as a whole: sessions held and their limit, what binds first, descriptors, pipes, the kernel.
func (s *Server) status(_ request, w http.ResponseWriter, _ *http.Request) *problem {
	st := s.view.Status()
	st.Limits, st.Features = list(st.Limits), list(st.Features)
	writeJSON(w, http.StatusOK, st)
	return nil
}

// frontends lists all, in the order of the configuration, with counters since start.
func (s *Server) frontends(_ request, w http.ResponseWriter, _ *http.Request) *problem {
	writeJSON(w, http.StatusOK, map[string][]balancer.FrontendStatus{"frontends": list(s.view.Frontends())})
	return nil
}

// pools lists all with their backends: a page of its own size, some 500 bytes a backend.
func (s *Server) pools(_ request, w http.ResponseWriter, _ *http.Request) *problem {
	writeJSON(w, http.StatusOK, map[string][]balancer.PoolStatus{"pools": list(s.view.Pools())})
	return nil
}

// workers lists the event loops.
func (s *Server) workers(_ request, w http.ResponseWriter, _ *http.Request) *problem {
	writeJSON(w, http.StatusOK, map[string][]balancer.WorkerStatus{"workers": list(s.view.Workers())})
	return nil
}

// sessions lists live sessions that match, a page at a time: the answer's cursor asks for the next one. The workers are
// asked meanwhile and answer between turns, so that a list is of no single moment.
func (s *Server) sessions(_ request, w http.ResponseWriter, r *http.Request) *problem {
	q, p := sessionQuery(r.URL.Query())
	if p != nil {
		return p
	}
	ctx, cancel := context.WithTimeout(r.Context(), queryTimeout)
	defer cancel()
	page, err := s.view.Sessions(ctx, q)
	if err != nil {
		return problemOf(err)
	}
	page.Sessions = list(page.Sessions)
	writeJSON(w, http.StatusOK, page)
	return nil
}

// sessionQuery reads what the server can judge; names and addresses are the balancer's to judge.
func sessionQuery(v url.Values) (balancer.SessionQuery, *problem) {
	q := balancer.SessionQuery{
		Frontend: v.Get("frontend"), Backend: v.Get("backend"), Client: v.Get("client"), Sort: v.Get("sort"), Cursor: v.Get("cursor"),
	}
	if p := onlyKeys(v, "frontend", "backend", "client", "sort", "limit", "cursor"); p != nil {
		return q, p
	}
	if v.Has("limit") {
		n, err := strconv.Atoi(v.Get("limit"))
		if err != nil || n < 1 || n > maxSessions {
			return q, badQuery(fmt.Sprintf("limit is %q; write a number from 1 to %d", v.Get("limit"), maxSessions))
		}
		q.Limit = n
	}
	return q, nil
}

// explain tells where a connection of ?client= to ?frontend= would go now, and why. Nothing is connected.
func (s *Server) explain(_ request, w http.ResponseWriter, r *http.Request) *problem {
	v := r.URL.Query()
	if p := onlyKeys(v, "frontend", "client"); p != nil {
		return p
	}
	if v.Get("frontend") == "" || v.Get("client") == "" {
		return badQuery("frontend and client are needed, as in ?frontend=chat&client=192.0.2.7:40312")
	}
	e, err := s.view.Explain(v.Get("frontend"), v.Get("client"))
	if err != nil {
		return problemOf(err)
	}
	e.Steps, e.Backends = list(e.Steps), list(e.Backends)
	writeJSON(w, http.StatusOK, e)
	return nil
}

// problemOf turns the balancer's errors into answers.
func problemOf(err error) *problem {
	switch {
	case errors.Is(err, balancer.ErrBadQuery):
		return badQuery(err.Error())
	case errors.Is(err, balancer.ErrNotFound):
		return &problem{http.StatusNotFound, "not_found", err.Error(), nil}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{http.StatusServiceUnavailable, "timeout", "the workers did not answer in " + queryTimeout.String(), nil}
	}
	return &problem{http.StatusInternalServerError, "internal", err.Error(), nil}
}

func badQuery(message string) *problem {
	return &problem{http.StatusBadRequest, "bad_query", message, nil}
}

// onlyKeys refuses a misspelt parameter, which would otherwise select everything.
func onlyKeys(v url.Values, known ...string) *problem {
	for key := range v {
		if !slices.Contains(known, key) {
			return badQuery(fmt.Sprintf("there is no parameter %q; known are %q", key, known))
		}
	}
	return nil
}

// list is l, never nil: JSON's [] and not null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
