package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/longsplice/longsplice/benchmarks/load"
)

// The files of a results folder.
const (
	jsonName     = "report.json"
	markdownName = "report.md"
	pageName     = "index.html"
	configsName  = "configs"
)

// Reasons why a file is not read.
var (
	ErrForeign = errors.New("not a report of longsplice-bench")
	ErrNewer   = errors.New("written by a newer longsplice-bench")
)

// Load reads a results folder, or a report.json by its own path.
func Load(path string) (*Report, error) {
	file := path
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		file = filepath.Join(path, jsonName)
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read report: %s is not there; want a folder that longsplice-bench run has written: %w", file, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	r, err := Decode(text)
	if err != nil {
		return nil, fmt.Errorf("read report %s: %w", file, err)
	}
	return r, nil
}

// Decode reads a report from the text of its file. Fields that it does not know are ignored: they are optional.
func Decode(text []byte) (*Report, error) {
	var head struct {
		Schema *int             `json:"schema"`
		Cases  *json.RawMessage `json:"cases"`
	}
	switch err := json.Unmarshal(text, &head); {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	case head.Schema == nil || *head.Schema < 1 || head.Cases == nil:
		return nil, fmt.Errorf("%w: no schema and cases in it", ErrForeign)
	case *head.Schema > Schema:
		return nil, fmt.Errorf("%w: schema %d, this one reads up to %d", ErrNewer, *head.Schema, Schema)
	}
	r := &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return r, nil
}

// JSON is the text of report.json.
func (r *Report) JSON() ([]byte, error) {
	r.Schema = Schema
	if r.Cases == nil {
		r.Cases = []Case{} // a reader tells a report by them
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	return append(text, '\n'), nil
}

// Save writes the results folder, which may exist: report.json, report.md, index.html and configs. It may be called again
// while a run goes on; each file is replaced as a whole.
func (r *Report) Save(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, configsName), 0o755); err != nil {
		return fmt.Errorf("make results folder: %w", err)
	}
	text, err := r.JSON()
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, jsonName), text); err != nil {
		return err
	}
	for name, write := range map[string]func(io.Writer) error{markdownName: r.Markdown, pageName: r.HTML} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		if err := replace(filepath.Join(dir, name), b.Bytes()); err != nil {
			return err
		}
	}
	return r.saveConfigs(filepath.Join(dir, configsName))
}

// saveConfigs writes each target's command line and configuration.
func (r *Report) saveConfigs(dir string) error {
	for _, t := range r.Targets {
		if t.Command != "" {
			if err := replace(filepath.Join(dir, filepath.Base(t.Name)+".command"), []byte(t.Command+"\n")); err != nil {
				return err
			}
		}
		if t.Config != "" {
			if err := replace(filepath.Join(dir, filepath.Base(t.Name)+filepath.Ext(t.ConfigName)), []byte(t.Config)); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace writes beside path and renames, so that a reader never sees half a file.
func replace(path string, text []byte) error {
	beside := path + ".new"
	if err := os.WriteFile(beside, text, 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.Rename(beside, path); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// faultOf says what was wrong with a result in a line.
func faultOf(res *load.Result) string {
	var parts []string
	if res.Wrong > 0 {
		parts = append(parts, fmt.Sprintf("%d sessions with wrong bytes", res.Wrong))
	}
	if res.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", res.Failed))
	}
	if res.Lost > 0 {
		parts = append(parts, fmt.Sprintf("%d messages lost", res.Lost))
	}
	if res.FirstError != "" {
		parts = append(parts, res.FirstError)
	}
	return strings.Join(parts, ", ")
}
