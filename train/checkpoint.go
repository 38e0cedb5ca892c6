package train

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A checkpoint keeps the state of one training in a folder.
type checkpoint struct {
	dir     string // empty: nowhere
	options LearnOptions
}

// kept is what a checkpoint's file holds, as gob.
type kept struct {
	Of    string // the training that the state is of
	State LearnState
}

// of names all that the training's result depends on.
func (c checkpoint) of() string {
	o := c.options
	of := fmt.Sprintf("1: table %s, rules %s, seed %d, %d steps, cost %v", o.Table.digest, o.Rules.Name, o.Seed, o.Steps, o.MaxCost)
	if o.Latency != nil {
		of += " by " + o.Latency.Device
	}
	return of
}

func (c checkpoint) path() string {
	return filepath.Join(c.dir, fmt.Sprintf("seed-%d.state", c.options.Seed))
}

// load returns the state that was saved, or nil where there is none.
func (c checkpoint) load() (*LearnState, error) {
	if c.dir == "" {
		return nil, nil
	}
	f, err := os.Open(c.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var k kept
	if err := gob.NewDecoder(f).Decode(&k); err != nil {
		return nil, fmt.Errorf("%s: is no state of a training, or damaged (%v); remove it to begin anew", c.path(), err)
	}
	if k.Of != c.of() {
		return nil, fmt.Errorf("%s: is the state of another training (%s), want %s; remove %s to begin anew", c.path(), k.Of, c.of(), c.dir)
	}
	return &k.State, nil
}

// save replaces the state; a crash leaves the old one or the new one.
func (c checkpoint) save(s *LearnState) (err error) {
	if c.dir == "" {
		return nil
	}
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(c.dir, "state-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = errors.Join(gob.NewEncoder(f).Encode(kept{c.of(), *s}), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), c.path())
}
