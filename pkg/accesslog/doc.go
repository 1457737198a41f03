// Package accesslog writes one JSON line for every session that ends and, if asked, one for every session that begins.
//
// A worker fills a [Record] and puts it on its own [Ring]: a copy and two atomics, no lock, no allocation, never a wait.
// One [Writer] goroutine takes the records off all rings and does what costs time: text, buffering, the file. A sink that
// is slow or fails makes rings fill up; what does not fit is dropped and counted.
//
// Concurrency: a ring has one producer (its worker) and one consumer (the writer). Reopen and the counters may be used
// from anywhere.
package accesslog
