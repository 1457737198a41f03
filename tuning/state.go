package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// stateFile is the file in Roots.State that remembers what was there before. It is written before anything is changed:
// whoever is killed in the middle leaves enough behind for revert.
const stateFile = "tune.json"

// StatePath is the file that remembers what was there.
func (t *Tuner) StatePath() string { return filepath.Join(t.Roots.State, stateFile) }

// ErrBusy says that another `longsplice tune` is changing this host.
var ErrBusy = errors.New("another `longsplice tune` is at work on this host")

// record is what the state file holds.
type record struct {
	Version int      `json:"version"`
	Steps   []step   `json:"steps"`   // in the order in which they are done
	Folders []string `json:"folders"` // made for them, the highest first
}

const recordVersion = 1

// step is a place that apply has changed, or is about to.
type step struct {
	Kind  Kind    `json:"kind"`
	Name  string  `json:"name"`
	Why   string  `json:"why"`
	Was   *value  `json:"was"`   // before the first apply; null: nothing
	Wrote []value `json:"wrote"` // by each apply since; the last is what shall be there
	Boot  string  `json:"boot"`  // the kernel's id of the boot in which the last was written
}

func (s *step) wanted() *value { return &s.Wrote[len(s.Wrote)-1] }

// ours tells whether now is a value that an apply has put there.
func (s *step) ours(now *value) bool {
	return slices.ContainsFunc(s.Wrote, func(w value) bool { return holds(s.Kind, s.Name, now, &w) })
}

// write notes one more value of ours.
func (s *step) write(v value) {
	s.Wrote = slices.DeleteFunc(s.Wrote, func(w value) bool { return w == v })
	s.Wrote = append(s.Wrote, v)
}

// find returns the index of a place's step, -1 if it has none.
func (r *record) find(k Kind, name string) int {
	return slices.IndexFunc(r.Steps, func(s step) bool { return s.Kind == k && s.Name == name })
}

// clone is a copy that shares nothing that changes.
func (r *record) clone() record {
	c := *r
	c.Steps, c.Folders = slices.Clone(r.Steps), slices.Clone(r.Folders)
	for i := range c.Steps {
		c.Steps[i].Wrote = slices.Clone(c.Steps[i].Wrote)
	}
	return c
}

func (r *record) empty() bool { return len(r.Steps) == 0 }

// readRecord returns an empty record if there is no file. A file that somebody else could have written is refused: it says
// what root shall write, and where.
func readRecord(path string) (r record, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	if err := onlyOurs(f); err != nil {
		return record{}, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return record{}, err
	}
	if r, err = parseRecord(text); err != nil {
		return record{}, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

func parseRecord(text []byte) (r record, err error) {
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, err
	}
	if r.Version != recordVersion {
		return record{}, fmt.Errorf("it is of version %d and this program knows %d: use the program that wrote it", r.Version, recordVersion)
	}
	for _, s := range r.Steps {
		if len(s.Wrote) == 0 {
			return record{}, fmt.Errorf("step %s lacks what was written", s.Name)
		}
	}
	return r, nil
}

func onlyOurs(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if ok && info.Mode().IsRegular() && int(owner.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0 {
		return nil
	}
	return fmt.Errorf("%s is not a file of uid %d that nobody else may write: look into it, then chown and chmod 600 it, or remove it", f.Name(), os.Geteuid())
}

// ledger is the state file while this process alone may change it: it holds the lock on its folder.
type ledger struct {
	dir    *os.File
	path   string
	record record
	made   []string // folders that were made for it
}

// openLedger makes the folder if create says so; otherwise that there is none is fs.ErrNotExist.
func openLedger(dir string, create bool) (*ledger, error) {
	l := &ledger{path: filepath.Join(dir, stateFile)}
	if create {
		l.made = missingFolders(dir)
		if err := makeFolders(l.made); err != nil {
			return nil, fmt.Errorf("make the folder of the state file: %w", err)
		}
	}
	var err error
	if l.dir, err = lockFolder(dir); err != nil {
		return nil, err
	}
	if l.record, err = readRecord(l.path); err != nil {
		l.close()
		return nil, err
	}
	l.sweep()
	return l, nil
}

// lockFolder locks a folder until it is closed; it does not wait. Who held the lock before may have removed the folder
// meanwhile: then the lock would be on one that has no name.
func lockFolder(dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (it has locked %s)", ErrBusy, dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	held, err1 := d.Stat()
	named, err2 := os.Stat(dir)
	if err1 != nil || err2 != nil || !os.SameFile(held, named) {
		d.Close()
		return nil, ErrBusy
	}
	return d, nil
}

// sweep takes away what one who was killed while writing the state file has left. If that was to be the first, it names the
// folders that were made for it.
func (l *ledger) sweep() {
	next := beside(l.path)
	if died, err := readRecord(next); err == nil && l.record.empty() {
		l.made = append(l.made, died.Folders...)
	}
	_ = os.Remove(next)
}

// save writes r in place of what the file says, or removes the file if r is empty.
func (l *ledger) save(r record) error {
	if r.empty() {
		return removeFile(l.path)
	}
	r.Version = recordVersion
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(l.path, &value{Text: raw(append(text, '\n')), Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()})
}

// close gives the lock back. Folders that were made and hold nothing go.
func (l *ledger) close() {
	removeFolders(l.made)
	l.dir.Close()
}
