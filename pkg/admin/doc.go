// Package admin is what operators and machines talk to: the HTTP/JSON API on a unix socket and, if configured, read-only
// over TCP, the Prometheus metrics and the status page.
//
// It owns its sockets and its connections and nothing else; all it knows of the running balancer it reads through [View].
// In order of reading: view.go, server.go (Start, Close), socket.go and accept.go (the two doors and what they let in),
// role.go (who may what) and guard.go (how a request passes a door), route.go (every endpoint), read.go, ready.go,
// stream.go, events.go, live.go, sample.go, metrics.go and page.go (what they answer).
//
// Concurrency: a goroutine per connection, bounded per door, all of it off the data path.
package admin
