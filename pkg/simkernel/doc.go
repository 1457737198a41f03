// Package simkernel is a deterministic Linux for simulations: a [Kernel] that implements sys.Kernel, and the
// other ends of its connections ([Peer]), which the test moves by hand. It is used by tests only, from one
// goroutine, and everything random comes from one seed.
//
// Time stands still unless [Kernel.Advance] moves it, and the network carries nothing unless [Kernel.Step],
// [Kernel.Settle] or [Kernel.Deliver] does: what a socket has sent stays in its send buffer (SIOCOUTQ > 0) until
// a step puts a part of it into the receiver's queue, which also acknowledges it. FIN and RST travel the same way.
//
// The semantics follow net/ipv4/tcp.c, tcp_input.c, tcp_output.c, fs/eventpoll.c, fs/splice.c and fs/pipe.c of
// Linux 6.18; each function names the one it copies. The package's tests
// run the same scripts against real loopback sockets and compare the transcripts.
//
// What is left out: segments that are lost or overtake each other (TCP repairs that), SO_OOBINLINE,
// SO_RCVLOWAT, timeouts of orphans, and most peculiarities of unix sockets, which here are TCP connections that
// connect at once and hang up when they are closed. A file may be in one epoll set only.
package simkernel
