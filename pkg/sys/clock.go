package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// The Go runtime reads CLOCK_MONOTONIC without a system call but shows only differences; one real reading at
// start makes them absolute, so that times mean the same in the next process after a handoff.
var (
	clockStart = time.Now()
	clockBase  = readMonotonic()
)

func readMonotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // only with a broken kernel; differences still hold
	}
	return ts.Nano()
}

func monotonic() int64 { return clockBase + int64(time.Since(clockStart)) }
