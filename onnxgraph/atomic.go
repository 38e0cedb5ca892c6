package onnxgraph

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// A transaction is a set of files that appear whole, in order, or not at all.
// Each is complete and on disk under a temporary name before the first gets its
// own.
type transaction []*atomicFile

// atomicFile is a file in the making: it has a temporary name until it is named.
type atomicFile struct {
	*os.File
	path    string
	fresh   bool // nothing was at path before
	named   bool
	written int64
	started int64 // up to where the disk has been asked to write
}

// writeAhead is after how many bytes the disk is set to work on them, so that
// the final sync finds little left to do. Measured on a 553 MB file: smaller and
// larger steps are no faster, and without any the sync takes as long again as the copy.
const writeAhead = 8 << 20

// Write is the File's, and sees to it that the disk does not idle meanwhile.
func (f *atomicFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.written += int64(n)
	if ahead := f.written - f.started; ahead >= writeAhead {
		startWriteback(f.File, f.started, ahead)
		f.started = f.written
	}
	return n, err
}

// create adds a temporary file in the folder of path and reserves size bytes,
// so that a full disk is found out before anything is written.
func (t *transaction) create(path string, size int64) (*atomicFile, error) {
	dir, base := filepath.Split(path)
	if len(base) > 100 {
		base = base[:100] // leave room below the 255 bytes that file systems allow
	}
	for try := 0; ; try++ {
		tmp := filepath.Join(dir, "."+base+".tmp"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(try))
		f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if os.IsExist(err) && try < 1000 {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "create", Path: path, Err: cause(err)}
		}
		a := &atomicFile{File: f, path: path}
		*t = append(*t, a)
		if err := reserve(f, size); err != nil {
			return nil, &os.PathError{Op: "write", Path: path, Err: err}
		}
		return a, nil
	}
}

// cause strips the temporary name off an error.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// WriteFile writes a file as [Model.Save] writes a model: it appears whole or not
// at all, and what was there before stays until then. A pipe or a device is
// written to as it is.
func WriteFile(path string, data []byte) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(path, data, 0o666)
	}
	var files transaction
	defer func() { files.abort() }()
	err := files.write(path, int64(len(data)), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	return files.commit()
}

// write adds a file with that content.
func (t *transaction) write(path string, size int64, content func(io.Writer) error) error {
	f, err := t.create(path, size)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, copyBlock) // many small segments between the large ones
	if err := content(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return &os.PathError{Op: "write", Path: path, Err: cause(err)}
	}
	return f.finish()
}

// finish makes the content durable, with the permission bits of what it will replace.
func (f *atomicFile) finish() error {
	info, err := os.Stat(f.path)
	f.fresh = err != nil
	if err == nil {
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return &os.PathError{Op: "sync", Path: f.path, Err: cause(err)}
	}
	return f.Close()
}

// drop takes a file out of the transaction again.
func (t *transaction) drop(f *atomicFile) {
	*t = slices.DeleteFunc(*t, func(o *atomicFile) bool { return o == f })
	f.discard()
}

func (f *atomicFile) discard() {
	f.Close()
	os.Remove(f.Name())
}

// commit names the files, in the order in which they were created.
func (t transaction) commit() error {
	for _, f := range t {
		if err := os.Rename(f.Name(), f.path); err != nil {
			return err
		}
		f.named = true
		if err := syncDir(filepath.Dir(f.path)); err != nil {
			return err
		}
	}
	return nil
}

// abort removes the files of a transaction that was not committed to its end.
// What replaced an older file stays: the older one is gone.
func (t transaction) abort() {
	if n := len(t); n == 0 || t[n-1].named {
		return
	}
	for _, f := range t {
		switch {
		case !f.named:
			f.discard()
		case f.fresh:
			os.Remove(f.path)
		}
	}
}
