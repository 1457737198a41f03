package ports

// MaxTries is how many ports a connect may try before it gives up: each costs system calls, and where so many are
// refused something else is wrong.
const MaxTries = 8

// Set is the pairs of one backend: by source address, in the order of the configuration.
type Set []*Pair

// Take asks one source after the other, starting with the turn'th, for a port. ok is false if all are exhausted.
func (s Set) Take(turn uint32, nowMs int64) (source int, port uint16, ok bool) {
	for i := range len(s) {
		source = int((turn + uint32(i)) % uint32(len(s)))
		if port, ok = s[source].Take(nowMs); ok {
			return source, port, true
		}
	}
	return 0, 0, false
}

// Usage is the sum over the sources.
func (s Set) Usage() (sum Usage) {
	for _, p := range s {
		u := p.Usage()
		sum.Used += u.Used
		sum.Resting += u.Resting
		sum.Limit += u.Limit
	}
	return sum
}
