package sys

// Token is the value given to EpollAdd. Both supported architectures are little-endian.
func (e *Event) Token() uint64 { return uint64(e.hi)<<32 | uint64(e.lo) }

// SetToken stores a token.
func (e *Event) SetToken(t uint64) { e.lo, e.hi = uint32(t), uint32(t>>32) }
