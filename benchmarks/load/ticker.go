package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ticker is a timerfd in the loop: epoll_wait alone counts in milliseconds, too coarse for a schedule.
type ticker struct {
	fd          int
	call        func()
	expirations [8]byte
}

// tick calls f about once per interval, at most 20,000 times a second; f looks at the clock for what is due.
func (d *driver) tick(interval time.Duration, f func()) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("create timer: %w", err)
	}
	step := unix.NsecToTimespec(int64(max(interval, 50*time.Microsecond)))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: step, Value: step}, nil); err != nil {
		unix.Close(fd)
		return fmt.Errorf("set timer: %w", err)
	}
	return d.loop.Add(fd, unix.EPOLLIN, &ticker{fd: fd, call: f})
}

func (t *ticker) Ready(uint32) {
	_, _ = unix.Read(t.fd, t.expirations[:]) // only takes the readiness away
	t.call()
}
