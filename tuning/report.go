package tuning

// Report is what Inspect found.
type Report struct {
	Goal    Goal    `json:"goal"`
	Verdict Verdict `json:"verdict"`
	Limits  []Limit `json:"limits"` // those that fall short first, by the sessions that they allow
	Needs   []Need  `json:"needs"`  // what has to change for the goal, in the order in which to do it
	Notes   []Note  `json:"notes"`  // what is worth knowing and binds nothing
}
