package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
)

// service is one `run`: a balancer, its admin API, its log and the signals that it obeys. Everything happens in run's
// loop but what may take long: starting and stopping.
type service struct {
	env *environment
	cfg *config.Config
	log *eventLog

	balancer *balancer.Balancer // nil until it has started
	doors    *doors             // the balancer opens and closes them
	stopped  chan struct{}      // closed when the balancer has stopped; nil until it is told to
}

// startResult is what balancer.Start returned.
type startResult struct {
	balancer *balancer.Balancer
	err      error
}

// newService opens the log, so that run can speak from its first line on.
func newService(env *environment, cfg *config.Config) *service {
	return &service{env: env, cfg: cfg, log: openLog(env, cfg.Process), doors: &doors{process: cfg.Process}}
}

// run serves until a signal ends it (nil) or it cannot start.
func (s *service) run() error {
	defer s.log.close()
	// Ignored, a write to a closed pipe or socket is EPIPE wherever it is made.
	signal.Ignore(syscall.SIGPIPE)
	// Package signal drops what a channel has no room for: a flood of others must not cost us a SIGTERM.
	stops, others := make(chan os.Signal, 2), make(chan os.Signal, 16)
	signal.Notify(stops, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(others, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT)
	defer signal.Stop(stops)
	defer signal.Stop(others)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	started := s.start(ctx)
	for {
		select {
		case r := <-started:
			if over, err := s.begin(ctx, r); over {
				return err
			}
		case <-stops:
			cancel() // of a start that is under way
			s.stop()
		case sig := <-others:
			s.obey(sig)
		case <-s.stopped:
			return nil
		}
	}
}

// begin goes on from what starting came to: it serves, or all is over. ctx is done if a signal came meanwhile.
func (s *service) begin(ctx context.Context, r startResult) (over bool, err error) {
	told := ctx.Err() != nil
	switch {
	case r.err != nil && told:
		s.emit("stopped", "info", "told to stop before it served")
		return true, nil
	case r.err != nil:
		return true, r.err
	}
	s.serving(r.balancer)
	if told {
		s.stop()
	}
	return false, nil
}

// start starts the balancer in a goroutine: looking names up and the first health checks take seconds.
func (s *service) start(ctx context.Context) <-chan startResult {
	started := make(chan startResult, 1)
	stdout, _ := s.env.stdout.(*os.File)
	go func() {
		b, err := balancer.Start(ctx, balancer.Options{Config: s.cfg, Build: build(), OnEvent: s.log.write, Stdout: stdout, Doors: s.doors})
		started <- startResult{b, err}
	}()
	return started
}

// serving shows a balancer that has started at the admin API, and says so to whoever started us.
func (s *service) serving(b *balancer.Balancer) {
	s.doors.server.Serve(b)
	s.balancer = b
	s.note("ready", "", "admin socket: "+or(s.cfg.Process.Admin, "off")+", http: "+or(s.cfg.Process.HTTP.String(), "off"))
	s.notify("READY=1")
}

// stop drains and stops; called again, it stops at once.
func (s *service) stop() {
	switch {
	case s.balancer == nil: // Start sees its context end
	case s.stopped != nil:
		s.balancer.StopNow()
	default:
		s.notify("STOPPING=1")
		s.stopped = make(chan struct{})
		go func() {
			defer close(s.stopped)
			s.balancer.Shutdown(context.Background())
		}()
	}
}

// emit tells the log, and who follows events once the balancer is there.
func (s *service) emit(name, level, message string) {
	e := balancer.Event{Name: name, Level: level, Message: message}
	if s.balancer != nil {
		s.balancer.Emit(e)
		return
	}
	e.Time = time.Now()
	s.log.write(e)
}

// notify tells systemd, if it started us.
func (s *service) notify(state string) {
	if err := sdNotify(s.env.getenv("NOTIFY_SOCKET"), state); err != nil {
		s.emit("degraded", "warn", fmt.Sprintf("tell the service manager %s: %v", strings.TrimSuffix(state, "=1"), err))
	}
}
