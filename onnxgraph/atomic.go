package onnxgraph

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// atomicFile is a file in the making: it has a temporary name until commit.
type atomicFile struct {
	*os.File
	committed bool
}

// createAtomic creates a temporary file in the folder of path and reserves size
// bytes, so that a full disk is found out before anything is written.
func createAtomic(path string, size int64) (*atomicFile, error) {
	dir, base := filepath.Split(path)
	for try := 0; ; try++ {
		tmp := filepath.Join(dir, "."+base+".tmp"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(try))
		f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if os.IsExist(err) && try < 1000 {
			continue
		}
		if err != nil {
			return nil, err
		}
		a := &atomicFile{File: f}
		if err := reserve(f, size); err != nil {
			a.abort()
			return nil, &os.PathError{Op: "write", Path: path, Err: err}
		}
		return a, nil
	}
}

// commit makes the file durable under its final name.
func (f *atomicFile) commit(path string) error {
	if info, err := os.Stat(path); err == nil {
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	f.committed = true
	return syncDir(filepath.Dir(path))
}

// abort removes what was written, unless it was committed.
func (f *atomicFile) abort() {
	if !f.committed {
		f.Close()
		os.Remove(f.Name())
	}
}

func writeAtomic(path string, size int64, write func(io.Writer) error) error {
	f, err := createAtomic(path, size)
	if err != nil {
		return err
	}
	defer f.abort()
	w := bufio.NewWriterSize(f, copyBlock) // many small segments between the large ones
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.commit(path)
}
