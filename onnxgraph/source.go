package onnxgraph

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// A span is a range of bytes of a source.
type span struct{ off, end int64 }

func (s span) len() int64 { return s.end - s.off }

// A source is the random-access bytes that a model was read from. A file is
// opened for each batch of reads rather than held open, so that a model needs
// no Close and thousands may be alive at once.
type source struct {
	r    io.ReaderAt
	size int64
}

func (s *source) ReadAt(p []byte, off int64) (int, error) { return s.r.ReadAt(p, off) }

func newBytesSource(b []byte) *source { return &source{bytes.NewReader(b), int64(len(b))} }

// fileReader reads a file by path. It refuses to read from a file that has
// changed since the model was opened: spans would point at other bytes.
type fileReader struct {
	path string
	info os.FileInfo
}

func (f *fileReader) open() (*os.File, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (info.Size() != f.info.Size() || !info.ModTime().Equal(f.info.ModTime()) || !os.SameFile(info, f.info)) {
		err = fmt.Errorf("%s: the file has changed since it was opened", f.path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (f *fileReader) ReadAt(p []byte, off int64) (int, error) {
	file, err := f.open()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return file.ReadAt(p, off)
}

// open returns a reader for a batch of reads, and what to call after them.
func (s *source) open() (io.ReaderAt, func(), error) {
	lazy, ok := s.r.(*fileReader)
	if !ok {
		return s.r, func() {}, nil
	}
	f, err := lazy.open()
	if err != nil {
		return nil, nil, err
	}
	return f, func() { f.Close() }, nil
}
