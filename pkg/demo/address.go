package demo

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
)

const portsToTry = 100

// claims keeps ports for this demo, while nobody listens on them too: otherwise another demo could take the port of a
// backend that is dead. Only demos know of it.
type claims []io.Closer

// take claims a port: an abstract unix socket (unix(7)) stands for it in this network namespace, until the process ends
// or release. The error wraps syscall.EADDRINUSE if another demo has it.
func (c *claims) take(port string) error {
	l, err := net.Listen("unix", "@longsplice-demo-port-"+port)
	if err != nil {
		return err
	}
	*c = append(*c, l)
	return nil
}

func (c *claims) release() {
	for _, x := range *c {
		x.Close()
	}
	*c = nil
}

// free claims the address and returns it in numbers; where its port is busy (moved) the same host with the next port.
func (c *claims) free(address string) (free string, moved bool, err error) {
	asked := address
	for range portsToTry {
		free, err := c.tryPort(address)
		if err == nil {
			return free, address != asked, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return "", false, err // names the address
		}
		address = nextPort(address)
	}
	return "", false, fmt.Errorf("%s and the %d ports after it are busy", asked, portsToTry-1)
}

func (c *claims) tryPort(address string) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	defer l.Close()
	free := l.Addr().String() // port 0: what the kernel chose
	return free, c.take(portOf(free))
}

// nextPort is the same host, one port on; after the last port comes one of the kernel's choice.
func nextPort(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(int(uint16(n+1))))
}

func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return port
}
