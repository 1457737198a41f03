package ports

// MaxTries is how many ports a connect may try before it gives up: each costs system calls, and where so many are
// refused something else is wrong.
const MaxTries = 8

// Set is the pairs of one backend: by source address, in the order of the configuration. The empty one stands for a backend
// that is reached as the kernel likes.
type Set []*Pair

// Take asks one source after the other, starting with the turn'th, for a port. No pair: all are exhausted.
func (s Set) Take(turn uint32, nowMs int64) (*Pair, uint16) {
	for i := range uint32(len(s)) {
		p := s[(turn+i)%uint32(len(s))]
		if port, ok := p.Take(nowMs); ok {
			return p, port
		}
	}
	return nil, 0
}

// Latched tells whether every source is known to be exhausted; the empty set never is.
func (s Set) Latched(nowMs int64) bool {
	for _, p := range s {
		if !p.Latched(nowMs) {
			return false
		}
	}
	return len(s) > 0
}

// Usage is the sum over the sources.
func (s Set) Usage(nowMs int64) (sum Usage) {
	for _, p := range s {
		u := p.Usage(nowMs)
		sum.Used += u.Used
		sum.Resting += u.Resting
		sum.Limit += u.Limit
	}
	return sum
}
