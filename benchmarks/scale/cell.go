package scale

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	"github.com/longsplice/longsplice/benchmarks/child"
	"github.com/longsplice/longsplice/benchmarks/load"
)

//go:embed balancer.toml
var balancerText string

var balancerTemplate = template.Must(template.New("balancer").Parse(balancerText))

// Networks of the cells' addresses: 127.NET.x.y.
const (
	balancerNet = 65
	backendNet  = 66
	clientNet   = 67
)

// ready is what a balancer logs when its workers accept.
const ready = `"event":"ready"`

// cell is a balancer between a backend and clients, each a process. The clients come to all balancers: the kernel spreads
// their connections over those who share the address.
type cell struct {
	index                      int
	balancer, backend, clients *child.Process
	commands                   *os.File // to the clients
	answers                    int      // that the clients have given
}

// address is number n of a network: two cells never share one.
func address(network, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(network), byte(n / 250), byte(n%250 + 1)})
}

// addresses are the k ones of cell i.
func addresses(network, i, k int) (all []netip.Addr) {
	for j := range k {
		all = append(all, address(network, i*k+j))
	}
	return all
}

// newCell starts the three. Sessions is how many it will hold at most, seeds the number of its first one.
func (r *run) newCell(i, sessions, seeds int) (*cell, error) {
	c := &cell{index: i}
	r.cells = append(r.cells, c) // before the first start, so that what was started is taken down
	k := (sessions + perPair - 1) / perPair
	backends := addresses(backendNet, i, k)
	argv := []string{r.cfg.Self, "serve", "--mode", "echo"}
	for _, a := range backends {
		argv = append(argv, "--listen", netip.AddrPortFrom(a, r.port).String())
	}
	var err error
	if c.backend, err = child.Start(child.Spec{Argv: argv}); err != nil {
		return nil, err
	}
	if _, err := c.backend.Line(); err != nil {
		return nil, err
	}
	listen := netip.AddrPortFrom(address(balancerNet, 0), r.port)
	if err := r.startBalancer(c, listen, backends); err != nil {
		return nil, err
	}
	return c, r.startClients(c, listen, addresses(clientNet, i, k), seeds)
}

func (r *run) startBalancer(c *cell, listen netip.AddrPort, backends []netip.Addr) error {
	data := struct {
		Dir      string
		Listen   netip.AddrPort
		Backends []netip.AddrPort
	}{r.dir, listen, nil}
	for _, a := range backends {
		data.Backends = append(data.Backends, netip.AddrPortFrom(a, r.port))
	}
	var text bytes.Buffer
	if err := balancerTemplate.Execute(&text, data); err != nil {
		return fmt.Errorf("render configuration: %w", err)
	}
	path := filepath.Join(r.dir, fmt.Sprintf("balancer%d.toml", c.index))
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	var err error
	if c.balancer, err = child.Start(child.Spec{Argv: []string{r.cfg.Longsplice, "run", "-c", path}}); err != nil {
		return err
	}
	if r.group != nil {
		if err := r.group.add(c.balancer.PID()); err != nil {
			return err
		}
	}
	return c.balancer.WaitLog(ready) // somebody listens there already
}

func (r *run) startClients(c *cell, to netip.AddrPort, sources []netip.Addr, seeds int) error {
	argv := []string{r.cfg.Self, "hold", "--to", to.String(), "--first", strconv.Itoa(seeds)}
	for _, a := range sources {
		argv = append(argv, "--source", a.String())
	}
	stdin, commands, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer stdin.Close()
	c.commands = commands
	c.clients, err = child.Start(child.Spec{Argv: argv, Stdin: stdin})
	return err
}

// command tells the clients to begin something; answer waits for its end.
func (c *cell) command(line string) error {
	if _, err := fmt.Fprintln(c.commands, line); err != nil {
		return c.clients.Failure("takes no command")
	}
	return nil
}

// answer waits until the clients have done what they were told, however long that takes: they have a patience of their own.
func (c *cell) answer(ctx context.Context) (rep load.HoldReport, err error) {
	for {
		ended := c.clients.HasEnded() // asked first: what they wrote last counts
		lines := bytes.SplitAfter(c.clients.Output(), []byte("\n"))
		if len(lines) > c.answers+1 {
			c.answers++
			if err := json.Unmarshal(lines[c.answers-1], &rep); err != nil {
				return rep, fmt.Errorf("read the clients' answer: %w", err)
			}
			return rep, nil
		}
		if ended {
			return rep, c.clients.Failure("ended early")
		}
		select {
		case <-ctx.Done():
			return rep, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// down ends the clients first: they reset their sessions, so that no port rests anywhere.
func (c *cell) down() {
	if c.commands != nil {
		c.commands.Close()
	}
	if c.clients != nil {
		select {
		case <-c.clients.Ended():
		case <-time.After(downLimit):
		}
	}
	for _, p := range []*child.Process{c.clients, c.balancer, c.backend} {
		if p != nil {
			p.Stop()
		}
	}
}
