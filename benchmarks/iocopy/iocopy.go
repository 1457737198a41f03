// Package iocopy is the smallest TCP proxy that Go programmers write: two goroutines and io.Copy per session. It is a
// peer in the comparison, not a part of longsplice.
package iocopy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Run proxies from listen to the backends in turn until ctx is done.
func Run(ctx context.Context, listen string, to []string) error {
	if len(to) == 0 {
		return errors.New("proxy: no backend given")
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for i := 0; ; i++ {
		client, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
		go relay(client, to[i%len(to)])
	}
}

func relay(client net.Conn, to string) {
	defer client.Close()
	backend, err := net.Dial("tcp", to)
	if err != nil {
		return // the client sees the close, as it would from the simplest proxy
	}
	defer backend.Close()
	var both sync.WaitGroup
	both.Go(func() { half(backend, client) })
	both.Go(func() { half(client, backend) })
	both.Wait()
}

// half copies one direction and passes its end on.
func half(dst, src net.Conn) {
	_, _ = io.Copy(dst, src)
	_ = dst.(*net.TCPConn).CloseWrite()
}
