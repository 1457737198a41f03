// Package stats holds what workers count: one [Sheet] per worker with a row of counters for each frontend, backend
// and pool, and the names of the reasons for which sessions end.
//
// A sheet's owner counts in plain fields and publishes the rows it touched by atomic stores, between two bumps of a
// sequence number; readers take a copy and retry when the sequence moved. So a copy is one moment of one worker:
// accepted - ended is exactly what is active. Nobody but the owner writes; any goroutine may read.
package stats
