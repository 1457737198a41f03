// Package testkit holds what the tests of several packages need: a check for leaked fds and goroutines, words for a missing
// privilege or program, a scripted TCP peer, and test hosts in network namespaces. Tests and benchmarks import it, nothing else.
//
// The peer is the judge of the close matrix: a Script runs once over a direct connection and once through the balancer, and
// Differences says where the two readers did not see the same thing. Many scripts run at once, each on a Lane of
// its own, over loopback or in a Host, where peers can also Vanish. Peers use raw sockets, since package net hides resets,
// urgent bytes and the send queue.
//
// Every wait is bounded by Bound and fails with the step that waited. Nothing here asserts on time otherwise.
package testkit

import "time"

// Bound is the longest that any single wait lasts before the test fails.
const Bound = 30 * time.Second
