package main

import (
	"fmt"
	"net"
)

// sdNotify sends state to the service manager's socket; without one it does nothing. A leading @ means the abstract name
// space, as in package net (sd_notify(3)).
func sdNotify(socket, state string) error {
	if socket == "" {
		return nil
	}
	c, err := net.Dial("unixgram", socket)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}
