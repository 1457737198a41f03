package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Name is the host name of a backend.
type Name struct {
	Pool, Backend string
	Host          string
	Interval      time.Duration // from one look-up to the next
}

// Answers are addresses by host: at least one, sorted, each once, IPv4 never mapped into IPv6.
type Answers map[string][]netip.Addr

// Hooks are told what look-ups find. Either may be nil. They are called from the goroutines of hosts, for one host never
// two at a time, and must not call Close.
type Hooks struct {
	// Changed tells of a host with another set of addresses than before; addrs is never empty.
	Changed func(host string, addrs []netip.Addr)
	// Failed tells once of each new kind of trouble with a host, and with a nil error that it is over. What was known
	// of the host stays.
	Failed func(host string, err error)
}

// Resolver looks names up. Its methods may be called from any goroutine.
type Resolver struct {
	// Lookup asks for the addresses of one family, "ip4" or "ip6". New sets it to the resolver of package net
	// (/etc/hosts, /etc/resolv.conf); whoever changes it does so before the first use.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	hooks   Hooks
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	watches map[string]*watch // by host
}

// New makes a resolver that watches nothing yet.
func New(h Hooks) *Resolver {
	r := &Resolver{Lookup: net.DefaultResolver.LookupNetIP, hooks: h, watches: map[string]*watch{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// maxAtOnce is how many hosts Resolve looks up at the same time.
const maxAtOnce = 64

// Resolve returns the addresses of all names: the last good answer of hosts that are watched, and for the others what
// a look-up says now. It returns when all is known, or soon after ctx ends. The error names every backend whose host
// has no address; Answers holds the others all the same.
func (r *Resolver) Resolve(ctx context.Context, names []Name) (Answers, error) {
	answers, unknown := r.known(names)
	var (
		mu      sync.Mutex
		asking  sync.WaitGroup
		trouble = map[string]error{}
		room    = make(chan struct{}, maxAtOnce)
	)
	for host := range unknown {
		room <- struct{}{}
		asking.Go(func() {
			addrs, err := r.ask(ctx, host, nil)
			mu.Lock()
			defer mu.Unlock()
			if len(addrs) > 0 {
				answers[host] = addrs
			} else {
				trouble[host] = err
			}
			<-room
		})
	}
	asking.Wait()
	var errs []error
	for _, n := range names {
		if err := trouble[n.Host]; err != nil {
			errs = append(errs, fmt.Errorf("resolve backend %s/%s: %w; correct the name, or see that this host can resolve it", n.Pool, n.Backend, err))
		}
	}
	return answers, errors.Join(errs...)
}

// known is what watches know of names, and the hosts they do not know.
func (r *Resolver) known(names []Name) (answers Answers, unknown map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answers, unknown = Answers{}, map[string]bool{}
	for _, n := range names {
		if w := r.watches[n.Host]; w != nil && len(w.lastAnswer()) > 0 {
			answers[n.Host] = w.lastAnswer()
			continue
		}
		unknown[n.Host] = true
	}
	return answers, unknown
}

// Watch makes these the names that are looked up again and again. answers, from Resolve, is what the caller knows: hooks
// tell of what differs from it. Hosts that are watched already go on as they are, but for their interval (the
// shortest, where several names share a host); those not named any more are forgotten.
func (r *Resolver) Watch(names []Name, answers Answers) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	intervals := map[string]time.Duration{}
	for _, n := range names {
		if d, twice := intervals[n.Host]; !twice || n.Interval < d {
			intervals[n.Host] = n.Interval
		}
	}
	for host, w := range r.watches {
		if _, stays := intervals[host]; !stays {
			w.cancel()
			delete(r.watches, host)
		}
	}
	for host, interval := range intervals {
		if w := r.watches[host]; w != nil {
			w.setInterval(interval)
			continue
		}
		r.watches[host] = r.start(host, interval, answers[host])
	}
}

func (r *Resolver) start(host string, interval time.Duration, answer []netip.Addr) *watch {
	ctx, cancel := context.WithCancel(r.ctx)
	w := &watch{r: r, host: host, cancel: cancel, changed: make(chan struct{}, 1), interval: interval, answer: answer}
	r.running.Go(func() { w.run(ctx) })
	return w
}

// Close ends all look-ups and waits for their goroutines and hooks.
func (r *Resolver) Close() {
	r.cancel()
	r.running.Wait()
}
