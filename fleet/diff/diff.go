// Package diff says what differs between two ONNX models: what they take and
// give, their nodes, tensors, metadata, cost and cells.
//
// Two exports of one network rarely agree in names. Nodes are therefore matched
// twice, once by name and then by structure, once the other way round, and the
// matching that leaves less to explain counts. What has only another name is a
// Rename, and no other difference.
package diff

import (
	"context"
	"crypto/sha256"
	"hash"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Options say how two models are compared.
type Options struct {
	// NoValues leaves the values of tensors alone: only their types and dims
	// are compared, and no weights are read.
	NoValues bool
}

// A Diff is what differs between two models, before and after. Lists follow the
// order of the models and are empty, not nil, where there is nothing.
type Diff struct {
	Before Model `json:"before"`
	After  Model `json:"after"`
	// Same says that nothing that was compared differs, names included.
	Same bool `json:"same"`
	// Identical says that the files are the same, byte for byte; external data
	// are compared as tensors.
	Identical bool      `json:"identical"`
	Interface []Change  `json:"interface"`
	Metadata  []Change  `json:"metadata"`
	Structure Structure `json:"structure"`
	Renames   []Rename  `json:"renames"`
	Tensors   Tensors   `json:"tensors"`
	Cells     Cells     `json:"cells"`
	// Stamp is what the rewritten model says was done to it; nil where it says
	// nothing, or the same as the other one.
	Stamp *Stamp `json:"stamp"`
	// NotCompared lists what could not be compared, and why.
	NotCompared []string `json:"not_compared"`
}

// A Model is one of the two models.
type Model struct {
	Path  string `json:"path"`
	Fault string `json:"fault"` // why the model is invalid; "" where it is valid
	Cost  *Cost  `json:"cost"`  // nil for an invalid model
}

// A Kind says how something differs.
type Kind string

// The kinds of differences.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
	Renamed Kind = "renamed" // the same thing under another name
	Moved   Kind = "moved"   // the same thing at another place in the order
)

// A Change is a difference in what a model says of itself.
type Change struct {
	Kind   Kind   `json:"kind"`
	What   string `json:"what"` // opset, IR version, producer, input, output, function, metadata, ...
	Name   string `json:"name"` // of the input, the domain of the opset, the key of the metadata
	Before string `json:"before"`
	After  string `json:"after"`
}

// A Rename is something that is the same but for its name.
type Rename struct {
	What   string `json:"what"` // node, value or tensor
	Before string `json:"before"`
	After  string `json:"after"`
}

// Compare compares two models. Invalid models are compared as far as they can
// be read; the Diff says what was left out. The error is that of the context.
func Compare(ctx context.Context, a, b *onnxgraph.Model, o Options) (*Diff, error) {
	d := &Diff{Before: Model{Path: a.Path}, After: Model{Path: b.Path}, NotCompared: []string{}}
	valid := d.validate(a, b)
	d.Interface = interfaceChanges(a, b)
	d.Metadata = metadataChanges(a, b)
	m := bestMatch(a.Graph, b.Graph)
	d.Structure = m.structure()
	d.Renames = m.renames()
	var err error
	if d.Tensors, err = m.compareTensors(ctx, o); err != nil {
		return nil, err
	}
	d.Stamp = newStamp(a, b)
	d.Cells = Cells{Changed: []CellChange{}, Added: []Cell{}, Removed: []Cell{}}
	if valid {
		before, after := newPriced(a), newPriced(b)
		d.Before.Cost, d.After.Cost = before.total(), after.total()
		d.Cells = m.cells(before, after, d.Stamp)
	}
	d.leftOut(a, b)
	d.Same = len(d.Interface)+len(d.Metadata)+len(d.Renames) == 0 && d.Structure.same() && d.Tensors.same()
	if d.Same {
		d.Identical, err = identical(ctx, a, b)
	}
	return d, err
}

// validate notes the faults of invalid models; it returns whether both are valid.
func (d *Diff) validate(a, b *onnxgraph.Model) bool {
	valid := true
	for _, side := range []struct {
		model *onnxgraph.Model
		of    *Model
	}{{a, &d.Before}, {b, &d.After}} {
		if err := side.model.Validate(); err != nil {
			side.of.Fault, valid = err.Error(), false
		}
	}
	if !valid {
		d.NotCompared = append(d.NotCompared, "cost and cells: they are worked out for valid models only")
	}
	return valid
}

// leftOut notes what models can hold and Compare does not look into.
func (d *Diff) leftOut(a, b *onnxgraph.Model) {
	if len(a.Functions) > 0 && len(b.Functions) > 0 {
		d.NotCompared = append(d.NotCompared, "the bodies of functions")
	}
	if len(a.Graph.SparseInitializers) > 0 && len(b.Graph.SparseInitializers) > 0 {
		d.NotCompared = append(d.NotCompared, "the values of sparse tensors")
	}
}

// identical reports whether both files hold the same bytes.
func identical(ctx context.Context, a, b *onnxgraph.Model) (bool, error) {
	if a == b || a.Size() != b.Size() {
		return a == b, nil
	}
	var sums [2][]byte
	for i, m := range []*onnxgraph.Model{a, b} {
		w := &hashing{ctx, sha256.New()}
		if _, err := m.WriteTo(w); err != nil {
			return false, ctx.Err() // what cannot be read again is not known to be identical
		}
		sums[i] = w.Sum(nil)
	}
	return string(sums[0]) == string(sums[1]), nil
}

// hashing is a hash that stops when a context ends.
type hashing struct {
	ctx context.Context
	hash.Hash
}

func (h *hashing) Write(p []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.Hash.Write(p)
}
