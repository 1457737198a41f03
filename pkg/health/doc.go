// Package health asks backends, again and again, whether they are well: the active checks of [pool.health].
//
// The balancer gives a [Checker] the pools of every snapshot; the checker runs one ordinary goroutine for each backend
// and reports into the backend's health and its pool. This is the cold path: it uses package net. The rest of the
// program hears of it through [Hooks].
//
// The first result decides at once; from then on it takes rise results in a row to become healthy and fall to become
// unhealthy. A shortage of our own (fds, buffers, local ports) says nothing about a backend and changes nothing. Where
// TCP connections of checks have done their work they are reset, so that thousands of checks leave no TIME_WAIT behind.
package health
