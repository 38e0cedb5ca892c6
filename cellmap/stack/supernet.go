package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A Supernet is the networks of all genotypes of one size, which share weights:
// each cell has one operation of each kind between any two of its nodes. What
// differs from a [Net] is as in the authors' search (spec sections 1.3 and 1.5): a
// cell's output has room for all its nodes, poolings are normalized, and
// normalizations within cells have no weights.
type Supernet struct {
	Channels, Layers, Classes, Size int
	// LooseEnds lets nodes that no edge reads be seen at a cell's output, else those are
	// that the genotype concatenates. The others are multiplied by 0.
	LooseEnds bool
	Seed      uint64
}

// Child returns the network of a genotype. The initializers that children share have
// one name, and the same seeded values: whoever trains keeps them by their names, and
// need not have those drawn that known reports; nil: none.
func (s Supernet) Child(g cellmap.Genotype, path string, known func(name string) bool) (*onnxgraph.Model, error) {
	n := Net{Genotype: g, Channels: s.Channels, Layers: s.Layers, Classes: s.Classes, Size: s.Size, Seed: s.Seed}
	b := newBuilder(s.Seed)
	b.supernet, b.known = &s, known
	return n.build(path, b)
}

// slot names an operation from one node of a cell to another.
func (c *cell) slot(e cellmap.FormEdge) string {
	return fmt.Sprintf("%s.%d-%d.%s", c.path, e.From-2, e.To-2, e.Op)
}

// Plain begins the names of constants: 0, and what normalizations would learn within
// a cell, in a [Net].
const Plain = "plain."

// plain returns the name of a normalization's parameter: within cells, those that
// would be learnt are constants that all share.
func (s *Supernet) plain(name, param string, channels int) string {
	if !strings.HasPrefix(name, "cells.") || strings.HasPrefix(param, "running") {
		return name
	}
	return fmt.Sprintf("%s%s.%d", Plain, param, channels)
}

// output returns all nodes of a cell, those that are not seen there multiplied by 0.
func (s *Supernet) output(c *cell, form cellmap.Form, nodes []value) (list []value) {
	for i := 2; i < len(nodes); i++ {
		seen := slices.Contains(form.Concat, i)
		if s.LooseEnds {
			seen = !slices.ContainsFunc(form.Edges, func(e cellmap.FormEdge) bool { return e.From == i })
		}
		if !seen {
			nodes[i] = c.zeros(fmt.Sprintf("%s.node%d.hidden", c.path, i-2), nodes[i], 1)
		}
		list = append(list, nodes[i])
	}
	return list
}
