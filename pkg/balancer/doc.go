// Package balancer runs the program: it derives limits, opens listeners, starts one worker per CPU, turns the
// configuration into the snapshots they work by, keeps health and names up to date, and drains and stops.
//
// It owns every listening socket and every shared structure; workers own sessions. Its methods may be called from any
// goroutine. In order of reading: balancer.go (Start, Shutdown), limits.go, listeners.go, build.go (configuration to
// snapshot), monitor.go (what changes by itself), events.go; view.go, status.go, sessions.go, explain.go (what others
// see).
package balancer
