package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/urfave/cli/v2"
)

// show prints the result; one that is not sound ends the program with exitUnsound.
func show(res *load.Result, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(os.Stdout).Encode(res); err != nil {
			return err
		}
	} else {
		fmt.Println(strings.Join(describe(res), "\n"))
	}
	if !res.Sound() {
		return cli.Exit(fmt.Sprintf("%d sessions with wrong bytes, %d failed, %d messages lost: %s", res.Wrong, res.Failed, res.Lost, res.FirstError), exitUnsound)
	}
	return nil
}

func describe(r *load.Result) []string {
	var lines []string
	say := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	say("window       %.2f s", r.Seconds)
	if r.Messages > 0 {
		say("messages     %d, %.0f a second", r.Messages, float64(r.Messages)/r.Seconds)
	}
	if r.Sessions > 0 {
		say("sessions     %d, %.0f a second", r.Sessions, float64(r.Sessions)/r.Seconds)
	}
	if r.Bytes > 0 {
		say("bytes        %d, %.3f GB a second", r.Bytes, float64(r.Bytes)/r.Seconds/1e9)
	}
	if l := r.Latency; l != nil {
		say("latency      p50 %.0f us, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f", l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	for _, m := range r.Memory {
		say("memory       %d bytes and %d fds at %d sessions; all of the kernel's slab %d bytes, TCP buffers %d", m.RSS, m.FDs, m.Sessions, m.Slab, m.TCP)
	}
	for i := range r.Classes {
		lines = append(lines, describeClass(&r.Classes[i]))
	}
	if r.Return != nil {
		lines = append(lines, describeReturn(r.Return)...)
	}
	say("CPU seconds  target %.2f, load generator %.2f (%.0f %% of a processor), each processor %.2f", r.CPU.Target, r.CPU.Self, 100*r.SelfShare(), r.CPU.Busy)
	return append(lines, describeHarness(r)...)
}

// describeHarness says what else was measured, and what to think of the figures.
func describeHarness(r *load.Result) []string {
	var lines []string
	say := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	if s := r.Schedule; s != nil {
		say("schedule     %.0f a second, late by p50 %.0f us, p99 %.0f, max %.0f (part of the latency)", s.Rate, s.P50, s.P99, s.Max)
	}
	if h := r.Held; h != nil && h.FDs > 0 {
		say("target       %.1f MB resident, %d fds (%d of pipes)", float64(h.RSS)/1e6, h.FDs, h.Pipes)
	}
	if h := r.Held; h != nil {
		say("kernel       %d TCP sockets, %.1f MB in TCP buffers, %.1f MB in slab", h.Sockets, float64(h.TCP)/1e6, float64(h.Slab)/1e6)
	}
	if r.Syscalls != nil {
		say("system calls %s", describeSyscalls(r))
	}
	for _, n := range r.Notes {
		say("note         %s", n)
	}
	if r.Limited != "" {
		say("LIMITED      %s", r.Limited)
	}
	return lines
}

// describeSyscalls is calls per unit of work, the most frequent first.
func describeSyscalls(r *load.Result) string {
	units, unit := float64(r.Bytes)/1e9, "GB"
	switch {
	case r.Messages > 0:
		units, unit = float64(r.Messages), "message"
	case r.Sessions > 0:
		units, unit = float64(r.Sessions), "session"
	}
	if units == 0 {
		return fmt.Sprintf("%d", r.Syscalls.Total)
	}
	names := slices.SortedFunc(maps.Keys(r.Syscalls.Calls), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Syscalls.Calls[b], r.Syscalls.Calls[a]), cmp.Compare(a, b))
	})
	text := fmt.Sprintf("%.2f a %s:", float64(r.Syscalls.Total)/units, unit)
	for _, n := range names[:min(len(names), 8)] {
		text += fmt.Sprintf(" %s %.2f", n, float64(r.Syscalls.Calls[n])/units)
	}
	return text
}
