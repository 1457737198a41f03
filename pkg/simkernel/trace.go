package simkernel

import (
	"fmt"
	"strings"

	"github.com/longsplice/longsplice/pkg/sys"
)

// traceLen is how many calls are remembered.
const traceLen = 256

// call is one remembered call or network step: its numbers are written out only when somebody asks.
type call struct {
	name  string
	fd    int
	arg   int
	n     int
	errno sys.Errno
}

func (k *Kernel) note(name string, fd, arg, n int, errno sys.Errno) {
	k.ring[k.calls%traceLen] = call{name, fd, arg, n, errno}
	k.calls++
}

// Calls is how many calls and network steps there were.
func (k *Kernel) Calls() int { return k.calls }

// Trace writes the last calls, one a line: number, call(fd, argument) = result.
func (k *Kernel) Trace() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", k.seed)
	for i := max(0, k.calls-traceLen); i < k.calls; i++ {
		c := &k.ring[i%traceLen]
		fmt.Fprintf(&b, "%6d %s(%d, %d) = %d %s\n", i, c.name, c.fd, c.arg, c.n, sys.Name(c.errno))
	}
	return b.String()
}
