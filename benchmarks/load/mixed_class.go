package load

// Class is what the sessions of one kind, or of one part of a run, did: workloads "mixed" and "slow".
type Class struct {
	Name     string   `json:"name"`
	Sessions int      `json:"sessions"`
	Seconds  float64  `json:"seconds,omitempty"` // length of the part that the counts belong to
	Messages uint64   `json:"messages,omitempty"`
	Bytes    uint64   `json:"bytes,omitempty"`        // of payload, one way
	CPU      float64  `json:"cpu_target_s,omitempty"` // of the measured process in that part, if the part has a time of its own
	Latency  *Latency `json:"latency,omitempty"`
}
