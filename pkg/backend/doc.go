// Package backend owns what workers choose from: backends and their live state, pools and how one picks from them,
// frontends, and the immutable [Snapshot] that carries a configuration to the workers.
//
// What changes with the configuration (weights, limits, tables) stands in immutable structs of a snapshot. What lives
// longer (sessions held, health, ejection) stands in a [Backend], of which the [Registry] keeps one per pool, name and
// address for as long as anything refers to it. Sessions name a backend by its [Number], never by an index.
//
// Concurrency: a snapshot is read by everybody and written by nobody. The live fields are atomics: workers change them
// when a session opens, closes or fails to connect, the control side when a check or an operator says so.
package backend
