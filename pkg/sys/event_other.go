//go:build !amd64

package sys

// Event is one struct epoll_event; its data is aligned to 8 bytes everywhere but on amd64.
type Event struct {
	Events uint32
	_      uint32
	lo, hi uint32
}
