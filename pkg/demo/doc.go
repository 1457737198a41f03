// Package demo is `longsplice demo`: WebSocket echo backends and clients in one process, with the real data path between
// them over loopback. It tells a story on the terminal (clients connect and chat, a backend is killed, its clients come
// back elsewhere, it returns) and keeps books of every message and byte, which have to balance at the end.
//
// The command calls Run once at a time. Backends and clients are ordinary goroutines; what they count are atomics in the
// book of one life of one backend (book.go), read while they run for the live line and once more when all have ended.
package demo
