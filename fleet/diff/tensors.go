package diff

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Tensors are how the initializers of two models relate. Constants that are
// attributes of nodes are part of the Structure.
type Tensors struct {
	// Same counts the tensors of equal type, dims and, where Values says so,
	// values.
	Same    int            `json:"same"`
	Values  bool           `json:"values_compared"`
	Changed []TensorChange `json:"changed"`
	Added   []Tensor       `json:"added"`
	Removed []Tensor       `json:"removed"`
	// Unread are of equal type and dims, and their values could not be compared.
	Unread []Unread `json:"unread"`
}

func (t *Tensors) same() bool { return len(t.Changed)+len(t.Added)+len(t.Removed) == 0 }

// A Tensor is a constant of one of the models.
type Tensor struct {
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Dims   []int64 `json:"dims"`
	Bytes  int64   `json:"bytes"`            // of the values; 0 for strings
	Digest string  `json:"sha256,omitempty"` // of the values as raw little-endian bytes, where it was worked out
}

// A TensorChange is a tensor of both models that differs in type, dims or values.
type TensorChange struct {
	Before Tensor `json:"before"`
	After  Tensor `json:"after"`
	// Values is nil where type or dims differ.
	Values *ValueChange `json:"values"`
}

// A ValueChange says how far the values of a tensor have moved. Numbers are nil
// where the type has no arithmetic here (strings, and floats and integers of
// less than a byte), or where they are not finite.
type ValueChange struct {
	Elements  int64    `json:"elements"`
	Differing *int64   `json:"differing"` // elements whose bits differ; nil where elements are no whole bytes
	MaxAbs    *float64 `json:"max_abs"`   // the largest |after - before|
	Relative  *float64 `json:"relative"`  // |after - before| / |before| in the Euclidean norm
}

// An Unread tensor could not be compared.
type Unread struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func tensorOf(t *onnxgraph.Tensor) Tensor {
	n, err := t.Bytes()
	if err != nil {
		n = 0
	}
	return Tensor{Name: t.Name, Type: t.Type.String(), Dims: slices.Concat([]int64{}, t.Dims), Bytes: n}
}

// compareTensors compares the initializers, their values piece by piece.
func (m *match) compareTensors(ctx context.Context, o Options) (Tensors, error) {
	list := Tensors{Values: !o.NoValues, Changed: []TensorChange{}, Added: []Tensor{}, Removed: []Tensor{}, Unread: []Unread{}}
	paired := map[string]bool{}
	c := &comparer{ctx: ctx}
	for _, x := range slices.Concat(m.a.graph.Initializers, m.a.graph.SparseInitializers) {
		name, ok := m.tensors[x.Name]
		y := m.b.tensor[name]
		if !ok || y == nil {
			list.Removed = append(list.Removed, tensorOf(x))
			continue
		}
		paired[name] = true
		if err := list.compare(c, x, y, o.NoValues || m.sparse(x)); err != nil {
			return list, err
		}
	}
	for _, y := range slices.Concat(m.b.graph.Initializers, m.b.graph.SparseInitializers) {
		if !paired[y.Name] {
			list.Added = append(list.Added, tensorOf(y))
		}
	}
	return list, nil
}

func (m *match) sparse(t *onnxgraph.Tensor) bool {
	return slices.Contains(m.a.graph.SparseInitializers, t)
}

// compare sorts a pair of tensors into the lists. The error is the context's.
func (l *Tensors) compare(c *comparer, x, y *onnxgraph.Tensor, noValues bool) error {
	if x.Type != y.Type || !slices.Equal(x.Dims, y.Dims) {
		l.Changed = append(l.Changed, TensorChange{Before: tensorOf(x), After: tensorOf(y)})
		return nil
	}
	if noValues {
		l.Same++
		return nil
	}
	equal, err := c.equal(x, y)
	if err == nil && equal {
		l.Same++
		return nil
	}
	change := TensorChange{Before: tensorOf(x), After: tensorOf(y)}
	if err == nil {
		change.Values, err = c.measure(x, y, &change)
	}
	switch {
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case err != nil:
		l.Unread = append(l.Unread, Unread{y.Name, err.Error()})
	default:
		l.Changed = append(l.Changed, change)
	}
	return nil
}

// block is how much of a tensor is held in memory at a time, in bytes: a
// multiple of the size of every element.
const block = 1 << 18

// A comparer compares tensors of equal type and dims, using the same memory for all.
type comparer struct {
	ctx  context.Context
	a, b [block]byte
}

// openRaw returns the raw bytes of a tensor. Those of typed fields (float_data,
// ...) are converted in memory.
func openRaw(t *onnxgraph.Tensor) (io.ReadCloser, error) {
	if t.Type == onnxgraph.String {
		list, err := t.Strings()
		var b bytes.Buffer
		for _, s := range list {
			fmt.Fprintf(&b, "%d:%s", len(s), s)
		}
		return io.NopCloser(&b), err
	}
	r, err := t.Open()
	if err == nil || t.External != nil {
		return r, err
	}
	raw, err := t.Raw()
	return io.NopCloser(bytes.NewReader(raw)), err
}

// each visits both tensors block by block until visit returns false. Blocks
// are of one length as long as the tensors are.
func (c *comparer) each(x, y *onnxgraph.Tensor, visit func(a, b []byte) bool) error {
	r, err := openRaw(x)
	if err != nil {
		return fmt.Errorf("before: %w", err)
	}
	defer r.Close()
	s, err := openRaw(y)
	if err != nil {
		return fmt.Errorf("after: %w", err)
	}
	defer s.Close()
	for {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n, err := fill(r, c.a[:])
		if err != nil {
			return fmt.Errorf("before: %w", err)
		}
		k, err := fill(s, c.b[:])
		if err != nil {
			return fmt.Errorf("after: %w", err)
		}
		if n == 0 && k == 0 || !visit(c.a[:n], c.b[:k]) {
			return nil
		}
	}
}

// fill reads until the buffer is full or the reader has no more.
func fill(r io.Reader, buf []byte) (int, error) {
	n, err := io.ReadFull(r, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

func (c *comparer) equal(x, y *onnxgraph.Tensor) (bool, error) {
	equal := true
	err := c.each(x, y, func(a, b []byte) bool {
		equal = bytes.Equal(a, b)
		return equal
	})
	return equal, err
}

// measure says how far tensors of different values are apart, and notes their digests.
func (c *comparer) measure(x, y *onnxgraph.Tensor, change *TensorChange) (*ValueChange, error) {
	n, err := x.Elements()
	if err != nil {
		return nil, err
	}
	v := newDistance(x.Type)
	ha, hb := sha256.New(), sha256.New()
	err = c.each(x, y, func(a, b []byte) bool {
		ha.Write(a)
		hb.Write(b)
		v.add(a, b)
		return true
	})
	change.Before.Digest, change.After.Digest = sum(ha), sum(hb)
	return v.change(n), err
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// digest returns the SHA-256 of a tensor's values as raw little-endian bytes.
func digest(t *onnxgraph.Tensor) (string, error) {
	r, err := openRaw(t)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return sum(h), nil
}
