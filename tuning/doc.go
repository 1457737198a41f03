// Package tuning is the host companion: it works out how many sessions this host holds and what binds first (Inspect), and
// changes what is in the way.
//
// A host is seen through Roots and in no other way, so that tests show it any host as a tree of files. Inspect only reads;
// what it finds to be changed it returns as a list of Needs. Nothing here runs beside a worker: all of it is for the
// `tune` commands, on one goroutine.
package tuning
