package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// obey does what a signal asks for that does not end the program.
func (s *service) obey(sig os.Signal) {
	switch sig {
	case syscall.SIGHUP:
		s.emit("reload_failed", "warn", "reload is "+notSupported+"; nothing has changed")
	case syscall.SIGUSR2:
		s.emit("handoff_failed", "warn", "upgrade is "+notSupported+"; nothing has changed")
	case syscall.SIGUSR1:
		s.reopenAccessLog()
	case syscall.SIGQUIT:
		s.dump()
	}
}

// reopenAccessLog follows a rotation. Without a log, or while starting, there is nothing to reopen.
func (s *service) reopenAccessLog() {
	if s.balancer == nil || s.cfg.Process.AccessLog == "" {
		return
	}
	if err := s.balancer.ReopenAccessLog(); err != nil {
		s.emit("degraded", "error", "reopen the access log: "+err.Error())
		return
	}
	s.note("access_log_reopened", "", s.cfg.Process.AccessLog)
}

// note writes a line to the log alone.
func (s *service) note(name, subject, message string) {
	s.log.write(balancer.Event{Time: time.Now(), Name: name, Level: "info", Subject: subject, Message: message})
}

// Bounds of a dump: so many bytes of stacks are asked for (the world is stopped meanwhile), so many lines are logged.
const (
	dumpBytes = 1 << 20
	dumpLines = 256
)

// dump writes a line per worker and a line per goroutine to the log.
func (s *service) dump() {
	if s.balancer != nil {
		for _, w := range s.balancer.Workers() {
			w.Turns = balancer.Histogram{} // long, and in the metrics
			text, _ := json.Marshal(w)
			s.note("dump", "worker", string(text))
		}
	}
	buf := make([]byte, dumpBytes)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	for _, g := range stacks[:min(len(stacks), dumpLines)] {
		s.note("dump", "goroutine", g)
	}
}
