package onnxgraph

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Open reads the structure of an ONNX file. Symbolic links are followed, and
// external data are looked for beside the path as given, as in the cache of
// Hugging Face. A file that is not a readable ONNX model is a [*FormatError].
func Open(path string) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &FormatError{File: path, Msg: "is a folder, want an ONNX file"}
	}
	if !info.Mode().IsRegular() {
		return nil, &FormatError{File: path, Msg: "is not a regular file; read a stream as -"}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m, err := read(path, &source{file, info.Size()})
	if err != nil {
		return nil, err
	}
	m.src.r = &fileReader{path, info}
	m.dir = filepath.Dir(path)
	return m, nil
}

// Parse reads a model from memory; name is what errors call it. External data
// of such a model cannot be read, for want of a folder.
func Parse(name string, data []byte) (*Model, error) {
	return read(name, newBytesSource(data))
}

func read(name string, src *source) (*Model, error) {
	head := make([]byte, min(512, src.size))
	if _, err := src.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	if what := notONNX(head); what != "" {
		return nil, &FormatError{File: name, Msg: what}
	}
	m, err := decode(src)
	var fe *FormatError
	if errors.As(err, &fe) {
		fe.File = name
		return nil, fe
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m.Path = name
	return m, nil
}

// foreign lists what people hand over in place of an ONNX file, by its first bytes.
var foreign = []struct{ magic, what string }{
	{"version https://git-lfs.github.com/spec/", "is a Git LFS pointer, not the model itself: run git lfs pull"},
	{"<!doctype html", "is an HTML page, not an ONNX model: the download went wrong"},
	{"<html", "is an HTML page, not an ONNX model: the download went wrong"},
	{"pk\x03\x04", "is a zip archive, not an ONNX model (a PyTorch checkpoint? export it with torch.onnx.export)"},
	{"\x1f\x8b", "is gzip-compressed, not an ONNX model: unpack it first"},
	{"\x89hdf", "is an HDF5 file, not an ONNX model (Keras weights? convert them with tf2onnx)"},
	{"\x80\x02", "is a Python pickle, not an ONNX model (a PyTorch checkpoint? export it with torch.onnx.export)"},
	{"{", "is JSON, not an ONNX model"},
}

func notONNX(head []byte) string {
	if len(head) == 0 {
		return "is empty, want an ONNX model"
	}
	text := bytes.TrimLeft(head, " \t\r\n\ufeff")
	for _, f := range foreign {
		// Not ToLower: it would replace bytes that are no text.
		if len(text) >= len(f.magic) && equalFoldASCII(text[:len(f.magic)], f.magic) {
			return f.what
		}
	}
	if !bytes.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) && !unicode.IsSpace(r) }) {
		return "is text, not an ONNX model"
	}
	return ""
}

func equalFoldASCII(b []byte, lower string) bool {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// errNoFolder says that external data cannot be looked for.
var errNoFolder = errors.New("a model read from a stream has no folder to find its external data in")

// dataPath returns the file that an external tensor names, or an error where
// that would leave the model's folder. Windows' ways of doing so are refused on
// every system, so that a model is as valid here as there.
func (m *Model) dataPath(location string) (string, error) {
	local := filepath.FromSlash(location)
	drive := len(location) > 1 && location[1] == ':'
	switch {
	case location == "":
		return "", formatErrorf("", "external data without a location")
	case !filepath.IsLocal(local) || local == "." || drive || strings.ContainsAny(location, "\\\x00"):
		return "", formatErrorf("", "external data %s: the path leaves the model's folder", quote(location))
	case m.dir == "":
		return "", errNoFolder
	}
	return filepath.Join(m.dir, local), nil
}

// dataFile finds the data file that an external tensor names.
func (m *Model) dataFile(location string) (string, os.FileInfo, error) {
	path, err := m.dataPath(location)
	if err != nil {
		return "", nil, err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, formatErrorf("", "external data file not found: %s", path)
	case err != nil:
		return "", nil, err
	case !info.Mode().IsRegular():
		return "", nil, formatErrorf("", "external data %s: not a regular file", path)
	}
	return path, info, nil
}

// checkRange checks that a data file of that size holds want bytes for t.
func (t *Tensor) checkRange(path string, size, want int64) error {
	x := t.External
	if x.Length >= 0 && x.Length != want {
		return formatErrorf("", "external data has length %d, want %d for dims %v of %v", x.Length, want, t.Dims, t.Type)
	}
	if x.Offset > size || want > size-x.Offset {
		return formatErrorf("", "external data %s: %d bytes at offset %d end after the file's %d bytes", path, want, x.Offset, size)
	}
	return nil
}

// openExternal opens the data file of t and checks that it holds size bytes there.
func (t *Tensor) openExternal(size int64) (*os.File, int64, error) {
	path, info, err := t.model.dataFile(t.External.Location)
	if err != nil {
		return nil, 0, err
	}
	if err := t.checkRange(path, info.Size(), size); err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	return f, t.External.Offset, err
}
