// Package resolve finds the addresses behind host names of backends, and keeps finding them.
//
// The balancer asks [Resolver.Resolve] for the addresses of all names of a configuration before it takes it over, and
// gives the names to [Resolver.Watch] when it has. From then on each host is looked up again and again in a goroutine
// of its own, and [Hooks] hear of what changes. Every address of an answer is a backend of its own.
//
// A look-up that fails or finds nothing takes no backend away: the last good answer stays. That holds for IPv4 and
// IPv6 apart, since servers fail at one of the two often enough.
package resolve
