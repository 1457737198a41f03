package demo

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

const portsToTry = 100

// freeAddress is the address in numbers, or where its port is busy (moved) the same host with the next port that is free.
func freeAddress(address string) (free string, moved bool, err error) {
	busy := address
	for range portsToTry {
		l, err := net.Listen("tcp", address)
		if err == nil {
			defer l.Close()
			return l.Addr().String(), address != busy, nil // port 0: what the kernel chose
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return "", false, err // names the address
		}
		address = nextPort(address)
	}
	return "", false, fmt.Errorf("%s and the %d ports after it are busy", busy, portsToTry-1)
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
