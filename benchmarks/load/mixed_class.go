package load

// Class is what the sessions of one kind, or of one part of a run, did: workloads "mixed" and "slow".
type Class struct {
	Name     string   `json:"name"`
	Sessions int      `json:"sessions"`
	Seconds  float64  `json:"seconds,omitempty"` // length of the part that the counts belong to
	Messages uint64   `json:"messages,omitempty"`
	Bytes    uint64   `json:"bytes,omitempty"` // of payload, one way
	Latency  *Latency `json:"latency,omitempty"`
}
