// Package checkpoint keeps the state of a long computation in a file, so that one
// that was stopped in any way goes on from there.
package checkpoint

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A File is where a state of type T is kept.
type File[T any] struct {
	Path string // empty: nowhere
	Of   string // names all that the computation's result depends on
}

// kept is what a file holds, as gob.
type kept[T any] struct {
	Of    string
	State T
}

// Load returns the state that was saved, or nil where there is none. The state of
// another computation is an error.
func (f File[T]) Load() (*T, error) {
	if f.Path == "" {
		return nil, nil
	}
	in, err := os.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var k kept[T]
	if err := gob.NewDecoder(bufio.NewReader(in)).Decode(&k); err != nil {
		return nil, fmt.Errorf("%s: is no state of a training, or damaged (%v); remove it to begin anew", f.Path, err)
	}
	if k.Of != f.Of {
		return nil, fmt.Errorf("%s: is the state of another training (%s), want %s; remove %s to begin anew", f.Path, k.Of, f.Of, filepath.Dir(f.Path))
	}
	return &k.State, nil
}

// Save replaces the state; a crash leaves the old one or the new one.
func (f File[T]) Save(s *T) (err error) {
	if f.Path == "" {
		return nil
	}
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	out, err := os.Create(f.Path + ".new") // a killed one's is written over
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(out.Name())
		}
	}()
	w := bufio.NewWriter(out)
	err = errors.Join(gob.NewEncoder(w).Encode(kept[T]{f.Of, *s}), w.Flush(), out.Sync(), out.Close())
	if err != nil {
		return err
	}
	return os.Rename(out.Name(), f.Path)
}
