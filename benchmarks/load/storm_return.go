package load

// Return is how clients came back after their backend had died: workload "storm". Times count from the moment the
// backend was killed, or, where somebody else does that, from the first cut seen.
type Return struct {
	Held      int      `json:"held,omitempty"`      // sessions that the killed process held; 0: not known
	Cut       int      `json:"cut"`                 // sessions that ended
	Returned  int      `json:"returned"`            // those of them that have had an answer again
	Attempts  uint64   `json:"attempts"`            // connections begun for that
	Refused   uint64   `json:"refused"`             // those of them that ended without an answer
	LastCut   float64  `json:"last_cut_s"`          // when the last client learnt of it
	Seconds   float64  `json:"seconds"`             // when the last one had its answer
	Answer    *Latency `json:"answer,omitempty"`    // of each client's first answer
	CPU       float64  `json:"cpu_target_s"`        // the measured process, meanwhile
	Before    *Latency `json:"before,omitempty"`    // messages of all sessions before
	Elsewhere *Latency `json:"elsewhere,omitempty"` // messages of the sessions that were not cut, meanwhile
}

// PerSecond is connections begun per second of the storm.
func (r *Return) PerSecond() float64 {
	if r.Seconds == 0 {
		return 0
	}
	return float64(r.Attempts) / r.Seconds
}
