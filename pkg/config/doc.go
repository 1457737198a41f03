// Package config turns TOML files into validated, immutable structs.
package config

// table is one TOML table with the place of each of its keys.
type table struct{}

// Options changes how a configuration is read. The zero value is strict.
type Options struct {
	// IgnoreUnknownKeys turns unknown keys from problems into warnings.
	IgnoreUnknownKeys bool
	// Env looks up the NAME of ${NAME}; nil is os.LookupEnv.
	Env func(name string) (string, bool)
}

// Load reads paths, each a file or a folder (its *.toml by name).
func Load(paths []string, opt Options) (*Config, []Warning, error) { panic("soon") }

// Parse reads one file that is already in memory.
func Parse(name string, data []byte, opt Options) (*Config, []Warning, error) { panic("soon") }

// Unsupported lists what this program cannot do yet.
func (c *Config) Unsupported() Problems { panic("soon") }
