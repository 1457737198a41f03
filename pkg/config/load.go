package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// Options changes how a configuration is read. The zero value is strict.
type Options struct {
	// IgnoreUnknownKeys turns unknown keys from problems into warnings.
	IgnoreUnknownKeys bool
	// Env looks up the NAME of ${NAME}; nil is os.LookupEnv.
	Env func(name string) (value string, set bool)
}

// Load reads paths, each a file or a folder (its *.toml by name), as one
// configuration: [[frontend]] and [[pool]] append, the keys of other tables may
// be spread over files but each is set once. The error is always Problems: all
// of them, in the order of the files and lines. Warnings come with and without.
func Load(paths []string, opt Options) (*Config, []Warning, error) {
	r := newReader(opt)
	for _, path := range paths {
		for _, file := range r.filesOf(path) {
			r.cfg.Files = append(r.cfg.Files, file)
			data, err := os.ReadFile(file)
			if err != nil {
				r.unreadable(file, err)
				continue
			}
			r.add(file, data)
		}
	}
	return r.finish()
}

// Parse is Load for one file that is already in memory; name is what messages
// call it.
func Parse(name string, data []byte, opt Options) (*Config, []Warning, error) {
	r := newReader(opt)
	r.cfg.Files = []string{name}
	r.add(name, data)
	return r.finish()
}

// filesOf returns the files that a path stands for.
func (r *reader) filesOf(path string) []string {
	info, err := os.Stat(path)
	if err != nil {
		r.unreadable(path, err)
		return nil
	}
	if !info.IsDir() {
		return []string{path}
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		r.unreadable(path, err)
		return nil
	}
	var files []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".toml" && !e.IsDir() {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		r.unread = true
		r.problems = append(r.problems, Problem{File: path, What: "this folder holds no *.toml", Remedy: "name a file, or put one there"})
	}
	return files
}

// unreadable notes a path that cannot be read.
func (r *reader) unreadable(path string, err error) {
	r.unread = true
	what := err.Error()
	var pe *os.PathError
	if errors.As(err, &pe) {
		what = "cannot be read: " + pe.Err.Error()
	}
	r.problems = append(r.problems, Problem{File: path, What: what, Remedy: "name a TOML file or a folder of them"})
}

// add parses one file and merges it into what was read before.
func (r *reader) add(file string, data []byte) {
	t, bad := parseDocument(file, data)
	if bad != nil {
		r.unread = true
		r.problems = append(r.problems, *bad)
		return
	}
	r.merge(t)
}

// finish reads the merged tables. What depends on several keys is not judged
// while a file is missing: its keys would be reported as missing, too.
func (r *reader) finish() (*Config, []Warning, error) {
	r.readConfig()
	if !r.unread {
		r.check()
	}
	inOrder(r.problems, r.cfg.Files)
	inOrder(r.warnings, r.cfg.Files)
	if len(r.problems) > 0 {
		return nil, r.warnings, Problems(slices.Clip(r.problems))
	}
	r.cfg.sources = r.sources
	return r.cfg, r.warnings, nil
}
