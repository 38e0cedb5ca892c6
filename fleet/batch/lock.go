package batch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A lock keeps other runs off a shard of an output folder. The system lets go of
// it when the process ends, however it ends: no lock is ever stale.
type lock struct {
	name string // of the shard
	gate string // held for a moment by whoever changes the set of locks
	file *os.File
}

// takeLock locks a shard. Shards of one count share an output folder; whatever
// else would work on the same models is refused. Work folders of the dead are removed.
func takeLock(meta string, shard Shard) (l *lock, err error) {
	dir := filepath.Join(meta, "locks")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	l = &lock{name: shardName(shard), gate: filepath.Join(dir, "gate")}
	gate, err := l.enter()
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	alive := map[string]bool{}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if path == l.gate {
			continue
		}
		held, err := isHeld(path)
		switch {
		case err != nil:
			return nil, err
		case !held:
			os.Remove(path)
			continue
		}
		alive[e.Name()] = true
		if e.Name() == l.name || countOf(e.Name()) != countOf(l.name) {
			return nil, setupErrorf("wait for it, or end it; shards I/N of one N may share the folder",
				"%s: another batch is at work here: %s", filepath.Dir(meta), holder(path))
		}
	}
	if err := removeDead(filepath.Join(meta, "work"), alive); err != nil {
		return nil, err
	}
	l.file, err = os.OpenFile(filepath.Join(dir, l.name), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := lockFile(l.file, false); err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	host, _ := os.Hostname()
	_, err = fmt.Fprintf(l.file, "shard %s, process %d on %s, since %s\n", shard, os.Getpid(), host, time.Now().Format(time.DateTime))
	if err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	return l, nil
}

// enter waits for the gate.
func (l *lock) enter() (*os.File, error) {
	gate, err := os.OpenFile(l.gate, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := lockFile(gate, true); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: cannot be locked: %w", l.gate, err), gate.Close())
	}
	return gate, nil
}

// release gives the lock up.
func (l *lock) release() error {
	gate, err := l.enter()
	if err != nil {
		return errors.Join(err, l.file.Close())
	}
	defer gate.Close()
	return errors.Join(l.file.Close(), os.Remove(l.file.Name()))
}

// isHeld reports whether a process holds the lock.
func isHeld(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = lockFile(f, false)
	if errors.Is(err, errLocked) {
		return true, nil
	}
	return false, err
}

var errLocked = errors.New("is locked")

// holder says who holds a lock, as far as that can be read.
func holder(path string) string {
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return "lock " + filepath.Base(path)
	}
	return strings.TrimSpace(string(data))
}

// countOf returns the N of I-of-N.
func countOf(name string) string {
	_, count, _ := strings.Cut(name, "-of-")
	return count
}

// removeDead removes the work folders of runs that are no more.
func removeDead(work string, alive map[string]bool) error {
	list, err := os.ReadDir(work)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if !alive[e.Name()] {
			if err := os.RemoveAll(filepath.Join(work, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
