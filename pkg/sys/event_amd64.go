package sys

// Event is one struct epoll_event; packed on amd64 (EPOLL_PACKED in linux/eventpoll.h).
type Event struct {
	Events uint32
	lo, hi uint32
}
