package cellmap

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// nameCells gives each cell the name that its author knows it by: what the
// names of its nodes share (/layer1/layer1.0/conv1/Conv), or those of its
// weights (layer1.0.conv1.weight). A source of names serves only when it names
// every cell differently; else cells are numbered.
func nameCells(cells []*Cell) {
	sources := []func(*onnxgraph.Node) string{
		func(n *onnxgraph.Node) string { return n.Name },
		func(n *onnxgraph.Node) string {
			if n.Is("Conv") {
				return n.Input(1)
			}
			return ""
		},
	}
	for _, source := range sources {
		if names := distinctNames(cells, source); names != nil {
			for i, c := range cells {
				c.Name = names[i]
			}
			return
		}
	}
	for i, c := range cells {
		c.Name = fmt.Sprintf("cell %d", i+1)
		if c.Kind == Stage {
			c.Name = fmt.Sprintf("stage %d", i+1)
		}
	}
}

// distinctNames returns one name per cell, or nil where there is none: the first
// component of the paths that differs from cell to cell.
func distinctNames(cells []*Cell, source func(*onnxgraph.Node) string) []string {
	paths, depth := make([][]string, len(cells)), math.MaxInt
	for i, c := range cells {
		paths[i] = strings.Split(sharedPath(c, source), "/")
		depth = min(depth, len(paths[i]))
	}
	for at := range depth {
		names, seen := make([]string, len(cells)), map[string]bool{"": true}
		for i, p := range paths {
			names[i] = p[at]
			seen[p[at]] = true
		}
		if len(seen) == len(cells)+1 {
			return names
		}
	}
	return nil
}

// sharedPath returns what the names of the cell's operators have in common, up
// to the last separator.
func sharedPath(c *Cell, source func(*onnxgraph.Node) string) string {
	shared, first := "", true
	c.eachOperator(func(n *onnxgraph.Node) {
		name := source(n)
		if name == "" || strings.HasPrefix(n.Name, added) {
			return
		}
		if first {
			shared, first = name, false
		}
		shared = commonPrefix(shared, name)
	})
	end := strings.LastIndexAny(shared, "/._")
	if end < 0 {
		return ""
	}
	return strings.Trim(shared[:end], "/._")
}

func commonPrefix(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// operators lists the network's operators that make up the node.
func (n *Node) operators() []*onnxgraph.Node {
	out := slices.Concat(n.Edges[0].Nodes, n.Edges[1].Nodes)
	if n.Sum != nil {
		out = append(out, n.Sum)
	}
	return append(out, n.Act...)
}
