package onnxgraph

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// maxFile is where protobuf, and so every other reader of ONNX, ends.
	maxFile   = 1<<31 - 1
	copyBlock = 256 << 10 // larger blocks are no faster
	// External tensors of a mebibyte or more start at page boundaries, so that
	// readers can map them; smaller ones at cache lines.
	largeTensor, pageAlign, lineAlign = 1 << 20, 4096, 64
)

// A segment of the output: a range of the source, or new bytes.
type segment struct {
	at  span
	raw []byte
}

// segments lists what the file of this model consists of, adjacent ranges joined.
func (m *Model) segments() []segment {
	var out []segment
	put := func(list []entry) (size int64) {
		for _, e := range list {
			last := len(out) - 1
			switch {
			case e.raw != nil:
				size += int64(len(e.raw))
				out = append(out, segment{raw: e.raw})
			case last >= 0 && out[last].raw == nil && out[last].at.end == e.at.off:
				size += e.at.len()
				out[last].at.end = e.at.end
			default:
				size += e.at.len()
				out = append(out, segment{at: e.at})
			}
		}
		return size
	}
	for _, e := range m.entries {
		if e.num != modelGraph || !m.edited {
			put([]entry{e})
			continue
		}
		header := len(out)
		out = append(out, segment{raw: []byte{}})
		size := put(m.Graph.entries)
		tag := protowire.AppendTag(nil, modelGraph, protowire.BytesType)
		out[header].raw = protowire.AppendVarint(tag, uint64(size))
	}
	return out
}

// Size returns the number of bytes of the model's file, external data apart.
func (m *Model) Size() (n int64) {
	for _, s := range m.segments() {
		n += s.at.len() + int64(len(s.raw))
	}
	return n
}

// Edited reports whether the model differs from what was read.
func (m *Model) Edited() bool { return m.edited }

// WriteTo writes the model's file to w. It does not touch external data: a
// model that has any can only be [Model.Save]d.
func (m *Model) WriteTo(w io.Writer) (int64, error) {
	return m.stream(context.Background(), w)
}

func (m *Model) stream(ctx context.Context, w io.Writer) (n int64, err error) {
	src, done, err := m.src.open()
	if err != nil {
		return 0, err
	}
	defer done()
	buf := make([]byte, copyBlock)
	for _, s := range m.segments() {
		var k int64
		if s.raw != nil {
			var written int
			written, err = w.Write(s.raw)
			k = int64(written)
		} else {
			k, err = copyRange(ctx, w, src, s.at, buf)
		}
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// copyRange copies a range in blocks, so that it can be cancelled and the
// memory it takes does not depend on its length.
func copyRange(ctx context.Context, w io.Writer, r io.ReaderAt, at span, buf []byte) (n int64, err error) {
	for at.len() > 0 {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		b := buf[:min(int64(len(buf)), at.len())]
		if k, err := r.ReadAt(b, at.off); k < len(b) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		if _, err := w.Write(b); err != nil {
			return n, err
		}
		at.off += int64(len(b))
		n += int64(len(b))
	}
	return n, nil
}

// Save writes the model to path, and its external data beside it. The file
// appears whole or not at all: it is written under a temporary name in the same
// folder, synced and renamed; permission bits of a file that it replaces are
// kept. An unedited model is written byte for byte, its data files under their
// own names. The external data of an edited model go to one new file named
// after their content, before the model is renamed, so that no file that the
// input names is ever written to. A model that would reach 2 GiB, where
// protobuf ends, has its large tensors moved to external data.
func (m *Model) Save(ctx context.Context, path string) error {
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return m.saveToDevice(ctx, path, info)
		}
		if err := m.spares(path, info); err != nil {
			return err
		}
	}
	var files transaction
	defer func() { files.abort() }()
	out, err := m.saveData(ctx, path, &files)
	if err != nil {
		return err
	}
	err = files.write(path, out.Size(), func(w io.Writer) error {
		_, err := out.stream(ctx, w)
		return err
	})
	if err != nil {
		return err
	}
	return files.commit()
}

// spares refuses to replace a file that holds the model's external data.
func (m *Model) spares(path string, file os.FileInfo) error {
	for _, t := range onePerFile(m.externals()) {
		if _, data, err := m.dataFile(t.External.Location); err == nil && os.SameFile(file, data) {
			return fmt.Errorf("%s: holds external data of %s, want another name for the model", path, m.Path)
		}
	}
	return nil
}

// saveToDevice writes to what cannot be replaced by a rename: a pipe, /dev/null.
func (m *Model) saveToDevice(ctx context.Context, path string, info os.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("%s: is a folder, want a file name", path)
	}
	if len(m.externals()) > 0 {
		return fmt.Errorf("%s: a model with external data can only be written to a regular file", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = m.stream(ctx, f)
	return errors.Join(err, f.Close())
}

// externals returns the tensors, at any depth, whose data are in other files.
func (m *Model) externals() []*Tensor {
	var out []*Tensor
	m.Graph.eachTensor(func(t *Tensor) {
		if t.External != nil {
			out = append(out, t)
		}
	})
	return out
}

// onePerFile returns the first tensor of each external data file.
func onePerFile(external []*Tensor) []*Tensor {
	seen := map[string]bool{}
	return slices.DeleteFunc(external, func(t *Tensor) bool {
		again := seen[t.External.Location]
		seen[t.External.Location] = true
		return again
	})
}

// eachTensor visits initializers and attribute tensors, subgraphs included.
func (g *Graph) eachTensor(visit func(*Tensor)) {
	for _, t := range g.Initializers {
		visit(t)
	}
	for _, n := range g.Nodes {
		for _, a := range n.Attributes {
			if a.Tensor != nil {
				visit(a.Tensor)
			}
			for _, t := range a.Tensors {
				visit(t)
			}
		}
		for _, sub := range n.Subgraphs() {
			sub.eachTensor(visit)
		}
	}
}

// saveData writes the data files that a model at path needs and returns the
// model that refers to them.
func (m *Model) saveData(ctx context.Context, path string, files *transaction) (*Model, error) {
	external := m.externals()
	size := m.Size()
	switch {
	case len(external) == 0 && size <= maxFile:
		return m, nil
	case !m.edited && size > maxFile:
		return nil, fmt.Errorf("%s: %d bytes in one file; ONNX ends at 2 GiB, so an unchanged copy is not written", path, size)
	case !m.edited:
		return m, m.copyData(ctx, external, filepath.Dir(path), files)
	}
	move := func(t *Tensor) bool {
		return t.External != nil || size > maxFile && t.payload.field == tensorRawData && t.Stored() >= largeTensor
	}
	moved := slices.DeleteFunc(slices.Clone(m.Graph.Initializers), func(t *Tensor) bool { return !move(t) })
	inits := map[*Tensor]bool{}
	for _, t := range moved {
		inits[t] = true
	}
	for _, t := range external {
		if !inits[t] {
			return nil, fmt.Errorf("%s: tensor %q: external data of attributes cannot be moved to a new file", m.Path, t.Name)
		}
	}
	location, offsets, err := writeDataFile(ctx, path, moved, files)
	if err != nil {
		return nil, err
	}
	out, err := m.relocate(moved, location, offsets)
	if err == nil && out.Size() > maxFile {
		err = fmt.Errorf("%s: %d bytes without the large tensors; ONNX ends at 2 GiB", path, out.Size())
	}
	return out, err
}

// copyData copies the data files of an unedited model to another folder.
func (m *Model) copyData(ctx context.Context, external []*Tensor, dir string, files *transaction) error {
	for _, t := range onePerFile(external) {
		location := t.External.Location
		from, _, err := m.dataFile(location)
		if err != nil {
			return fmt.Errorf("%s: tensor %s: %w", m.Path, quote(t.Name), err)
		}
		if err := copyFile(ctx, from, filepath.Join(dir, filepath.FromSlash(location)), files); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies from to path, unless path has that content already; it
// refuses to replace other content.
func copyFile(ctx context.Context, from, path string, files *transaction) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if old, err := os.Stat(path); err == nil {
		if os.SameFile(old, info) {
			return nil
		}
		a, err := contentSum(from)
		if err != nil {
			return err
		}
		if b, err := contentSum(path); err != nil || bytes.Equal(a, b) {
			return err
		}
		return fmt.Errorf("%s: exists with other content, and the model needs its data there", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return files.write(path, info.Size(), func(w io.Writer) error {
		_, err := copyRange(ctx, w, in, span{0, info.Size()}, make([]byte, copyBlock))
		return err
	})
}

// contentSum is the SHA-256 of a file.
func contentSum(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}

// writeDataFile writes the payloads of the tensors, aligned, to one file beside
// the model path, named after its content, and returns that name and the
// offsets. A file of that name and content is left alone.
func writeDataFile(ctx context.Context, path string, tensors []*Tensor, files *transaction) (string, []int64, error) {
	offsets, total := make([]int64, len(tensors)), int64(0)
	for i, t := range tensors {
		size, err := t.Bytes()
		if err != nil {
			return "", nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		align := int64(lineAlign)
		if size >= largeTensor {
			align = pageAlign
		}
		total = (total + align - 1) / align * align
		offsets[i] = total
		total += size
	}
	f, err := files.create(path, total)
	if err != nil {
		return "", nil, err
	}
	sum := sha256.New()
	w, at, buf := io.MultiWriter(f, sum), int64(0), make([]byte, copyBlock)
	for i, t := range tensors {
		if _, err := w.Write(make([]byte, offsets[i]-at)); err != nil {
			return "", nil, err
		}
		size, err := copyTensor(ctx, w, t, buf)
		if err != nil {
			return "", nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		at = offsets[i] + size
	}
	content := sum.Sum(nil)
	base := strings.TrimSuffix(filepath.Base(path), ".onnx")
	name := fmt.Sprintf("%s.%s.data", base, hex.EncodeToString(content[:8]))
	f.path = filepath.Join(filepath.Dir(path), name)
	if old, err := contentSum(f.path); err == nil && bytes.Equal(old, content) {
		files.drop(f)
		return name, offsets, nil
	}
	return name, offsets, f.finish()
}

func copyTensor(ctx context.Context, w io.Writer, t *Tensor, buf []byte) (n int64, err error) {
	r, err := t.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		k, err := r.Read(buf)
		if _, err := w.Write(buf[:k]); err != nil {
			return n, err
		}
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// relocate returns the model with those initializers at the given offsets of a data file.
func (m *Model) relocate(tensors []*Tensor, location string, offsets []int64) (*Model, error) {
	at := make(map[*Tensor]int64, len(tensors))
	for i, t := range tensors {
		at[t] = offsets[i]
	}
	g := m.Graph.shallow()
	for i, e := range g.entries {
		t, ok := e.item.(*Tensor)
		if !ok {
			continue
		}
		offset, ok := at[t]
		if !ok {
			continue
		}
		size, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		body, err := t.relocated(location, offset, size)
		if err != nil {
			return nil, err
		}
		g.entries[i].raw = appendMessage(nil, graphInitializer, body)
	}
	out := *m
	out.Graph, out.edited = g, true
	return &out, nil
}
