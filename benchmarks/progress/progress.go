// Package progress shows people at a terminal how far something is. It belongs to one goroutine.
package progress

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"
)

const steps = 1000

// Bar draws to f until clear is called. If f is not a terminal, tell is nil and clear does nothing.
func Bar(f *os.File) (tell func(doing string, part float64), clear func()) {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil, func() {}
	}
	bar := progressbar.NewOptions(steps, progressbar.OptionSetWriter(f), progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(true), progressbar.OptionThrottle(100*time.Millisecond))
	tell = func(doing string, part float64) {
		_ = bar.Set(int(part * steps)) // a terminal that went away is no loss
		bar.Describe(doing)
	}
	return tell, func() { _ = bar.Clear() }
}
