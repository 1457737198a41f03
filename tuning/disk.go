package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// readFile returns a regular file with its mode and owner; nil if there is none. A link or a device is an error: what it
// leads to is not ours to replace.
func readFile(path string) (*value, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file (%s)", path, info.Mode().Type())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v := &value{Text: raw(text), Mode: info.Mode()}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		v.UID, v.GID = int(owner.Uid), int(owner.Gid)
	}
	return v, nil
}

// beside is where a file's next content is written before it takes the file's name. No program that reads folders of
// *.conf takes it for one.
func beside(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
}

// writeFile puts content, mode and owner at path in one step that is on the disk when it returns. It makes folders that
// are missing.
func writeFile(path string, v *value) (err error) {
	if err := makeFolders(missingFolders(filepath.Dir(path))); err != nil {
		return err
	}
	next := beside(path)
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // of one that was killed
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(fill(f, v), f.Close())
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return syncFolder(filepath.Dir(path))
}

func fill(f *os.File, v *value) error {
	if _, err := f.WriteString(string(v.Text)); err != nil {
		return err
	}
	if v.UID != os.Geteuid() || v.GID != os.Getegid() {
		if err := f.Chown(v.UID, v.GID); err != nil {
			return err
		}
	}
	if err := f.Chmod(v.Mode); err != nil {
		return err
	}
	return f.Sync()
}

// removeFile removes a file that may be gone already, or its folder.
func removeFile(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder brings the names in a folder to the disk.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// missingFolders are path and those above it that are not there, the highest first.
func missingFolders(path string) (missing []string) {
	for ; ; path = filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			slices.Reverse(missing)
			return missing
		}
		missing = append(missing, path)
	}
}

// makeFolders makes them in turn, as /etc has its own, whatever the umask is.
func makeFolders(paths []string) error {
	const mode = 0o755
	for _, path := range paths {
		if err := os.Mkdir(path, mode); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		if err := syncFolder(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

// removeFolders removes those that are empty, the last first. One that others have put something into stays.
func removeFolders(paths []string) {
	for _, path := range slices.Backward(paths) {
		if syscall.Rmdir(path) == nil { // os.Remove would take a file as well
			_ = syncFolder(filepath.Dir(path))
		}
	}
}
