package epoll

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockBase is CLOCK_MONOTONIC at the moment of clockBegan. Go's monotonic clock is the same one (runtime.nanotime), but
// for where it counts from; reading it costs no system call.
var clockBase, clockBegan = func() (int64, time.Time) {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // never fails
	return ts.Nano(), time.Now()
}()

// Now is CLOCK_MONOTONIC in nanoseconds: the same in all processes of a machine, to a microsecond.
func Now() int64 { return clockBase + int64(time.Since(clockBegan)) }
