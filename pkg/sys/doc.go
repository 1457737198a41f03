// Package sys is the only data-path package that talks to the operating system: every other one makes its
// calls through [Kernel], so that the whole way of a session can run on a fake kernel in tests.
//
// Calls return their results by value and an [Errno] instead of an error: nothing is allocated, nothing is
// wrapped. EINTR is retried inside, except by EpollWait, where it is an empty turn. Calls that cannot block
// skip the Go scheduler (RawSyscall); every descriptor made here is non-blocking and close-on-exec, because
// splice(2) from a pipe into a blocking socket blocks the thread whatever SPLICE_F_NONBLOCK says (since
// Linux 6.5 splice_to_socket looks at O_NONBLOCK only).
//
// The package keeps no state and is safe for concurrent use; who owns a descriptor is the caller's business.
package sys
