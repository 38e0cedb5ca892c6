package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// readInput digests a model and all files that it names. A file that is no model
// has a digest as well: what becomes of it is the task's business.
func readInput(ctx context.Context, path string) (*Input, error) {
	h := sha256.New()
	n, err := digestFile(ctx, h, path)
	if err != nil {
		return nil, err
	}
	in := &Input{Bytes: n, Structure: n}
	m, err := onnxgraph.Open(path)
	if err == nil {
		in.Model = m
		stored, locations := tensorsOf(m)
		in.Structure -= min(stored, n)
		for _, location := range locations {
			fmt.Fprintf(h, "\x00%s\x00", location)
			n, err := digestFile(ctx, h, filepath.Join(filepath.Dir(path), filepath.FromSlash(location)))
			switch {
			case errors.Is(err, fs.ErrNotExist):
				fmt.Fprint(h, "\x00absent")
			case err != nil:
				return nil, err
			}
			in.Bytes += n
		}
	}
	in.Digest = hex.EncodeToString(h.Sum(nil))
	return in, nil
}

// tensorsOf returns how many bytes of payload the model's file holds, and its
// external data files, sorted. Paths that leave the model's folder are left out:
// nothing reads them.
func tensorsOf(m *onnxgraph.Model) (stored int64, locations []string) {
	seen := map[string]bool{}
	eachTensor(m.Graph, func(t *onnxgraph.Tensor) {
		switch {
		case t.External == nil:
			stored += t.Stored()
		case filepath.IsLocal(filepath.FromSlash(t.External.Location)):
			seen[t.External.Location] = true
		}
	})
	for location := range seen {
		locations = append(locations, location)
	}
	slices.Sort(locations)
	return stored, locations
}

func eachTensor(g *onnxgraph.Graph, visit func(*onnxgraph.Tensor)) {
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
			eachTensor(sub, visit)
		}
	}
}

// digestFile adds a file to a hash.
func digestFile(ctx context.Context, h hash.Hash, path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() { // a pipe would never end
		return 0, &onnxgraph.FormatError{File: path, Msg: "is not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.CopyBuffer(h, struct{ io.Reader }{&stopping{f, ctx}}, make([]byte, 128<<10))
}

// stopping is a reader that ends with a context.
type stopping struct {
	io.Reader
	ctx context.Context
}

func (s *stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Reader.Read(p)
}

// key digests all that an item's outputs depend on.
func (t *Task) key(ctx context.Context, item Item, input string) (string, error) {
	var more []string
	if t.Depends != nil {
		var err error
		if more, err = t.Depends(ctx, item); err != nil {
			return "", err
		}
	}
	h := sha256.New()
	for _, part := range slices.Concat([]string{t.Name, t.output(item.Name), item.Name, input}, t.Recipe, more) {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Digest returns the SHA-256 of a model with its external data, or of any other file.
func Digest(ctx context.Context, path string) (string, error) {
	in, err := readInput(ctx, path)
	if err != nil {
		return "", err
	}
	return in.Digest, nil
}

// An Output is a file that a batch has written.
type Output struct {
	Path   string `json:"path"` // relative to the output folder, with slashes
	Digest string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// digests lists what a task has left in its folder, the main output last.
func digests(ctx context.Context, dir, main string) ([]Output, error) {
	var list []Output
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		h := sha256.New()
		n, err := digestFile(ctx, h, path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		list = append(list, Output{place(main, filepath.ToSlash(rel)), hex.EncodeToString(h.Sum(nil)), n})
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b Output) int {
		switch {
		case a.Path == main:
			return 1
		case b.Path == main:
			return -1
		}
		return 0
	})
	return list, nil
}
