package proc

import (
	"fmt"
	"os"
)

// Available is the memory in bytes that programs may still take without others having to give any (MemAvailable, Linux
// 3.14).
func Available() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read available memory: %w", err)
	}
	kib, err := field(string(text), "MemAvailable:", "")
	return kib << 10, err
}
