package tuning

// Kind is what sort of thing a Need changes.
type Kind string

// Kinds. What `tune apply --persist` writes besides is of kind File.
const (
	Sysctl  Kind = "sysctl"  // a file below /proc/sys
	Address Kind = "address" // an address of an interface
	Unit    Kind = "unit"    // a setting of the systemd unit, by a drop-in
)

// Present is what an Address is wanted to be.
const Present = "present"

// Need is one thing about the host that has to change for a goal.
type Need struct {
	Kind Kind `json:"kind"`

	// Name is "net.ipv4.ip_local_port_range", "10.0.0.11/32 dev eth0" or "longsplice.service LimitNOFILE".
	Name string `json:"name"`

	// Current and Wanted are values as the kernel writes them, without the newline: "32768\t60999". Current is "" where
	// there is nothing: no such address, no such line in the unit. Wanted is Present for an Address, "N" for LimitNOFILE.
	Current string `json:"current"`
	Wanted  string `json:"wanted"`

	Why string `json:"why"` // a sentence
}
