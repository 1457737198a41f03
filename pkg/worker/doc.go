// Package worker is the data path: one event loop that takes sessions from accept to close.
//
// A session goes through these stages, one file each, in this order:
//
//  1. accept.go   take the connection from its listener, and let it in or refuse it
//  2. pick.go     choose a backend
//  3. dial.go     connect to it; on failure pick another
//  4. relay.go    move bytes both ways until both directions have ended
//  5. close.go    pass the end on as what it was, count the reason, close, free the slot
//
// Beside the stages: worker.go (the struct, Run), loop.go (one turn: wait, dispatch, ready list, timers, orders),
// session.go (slots), source.go (where connections to backends come from), spare.go (the socket in hand), timers.go (what
// a session's one lazy timer does), silence.go (peers that answer no probe), order.go (what the control side may ask),
// listing.go, shed.go.
//
// A stage ends by calling the next one or by waiting for an event; nothing is handed to a goroutine. A worker's slots,
// descriptors and counters belong to its own thread alone. It shares with other workers only the atomics of
// pkg/backend and pkg/ports, Limits and the pipe budget, touched when a session opens or closes. The control side talks to it by
// orders. Slots hold no pointers: a million of them cost the garbage collector nothing.
package worker
