// Package relay moves the bytes of one direction of a session: a [Half] reads from its source socket and
// writes to its sink socket, by recv/send or, while the direction is bulk, by splice(2) through a pooled pipe.
//
// The rules it lives by:
//
//   - A half reads only when it holds nothing. So EAGAIN from a splice into its (empty) pipe can only mean that
//     the source is drained, an end of stream or an error is always met with every earlier byte delivered, and
//     a half may change between copy and splice whenever it reads.
//   - A stalled sink costs one pipe or one block, never more; where neither is to be had, the half waits or
//     copies, it does not fail.
//   - splice()==0 proves nothing; only recv()==0 is the end (an urgent byte makes splice lie, see urgent.go).
//   - Nobody asks SO_ERROR: errors come out of the read or write that meets them, once.
//
// The package knows descriptors but not epoll: the caller sets the Readable, Writable, Hangup and Urgent
// latches from events and calls [Mover.Move] until it answers Waiting. A Mover, its pipes and blocks belong to one
// worker and are not safe for concurrent use; [PipeBudget] is what the workers share.
package relay
