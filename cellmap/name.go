package cellmap

import (
	"fmt"
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

// distinctNames returns one name per cell, or nil where they are not distinct:
// the last component of each path, once the ending that all paths share is off.
func distinctNames(cells []*Cell, source func(*onnxgraph.Node) string) []string {
	paths := make([][]string, len(cells))
	for i, c := range cells {
		paths[i] = strings.Split(sharedPath(c, source), "/")
	}
	for len(cells) > 1 && !slices.ContainsFunc(paths, func(p []string) bool {
		return len(p) < 2 || p[len(p)-1] != paths[0][len(paths[0])-1]
	}) {
		for i, p := range paths {
			paths[i] = p[:len(p)-1]
		}
	}
	names, seen := make([]string, len(cells)), map[string]bool{"": true}
	for i, p := range paths {
		names[i] = p[len(p)-1]
		if seen[names[i]] {
			return nil
		}
		seen[names[i]] = true
	}
	return names
}

// sharedPath returns what the names of the cell's operators have in common, up
// to the last separator.
func sharedPath(c *Cell, source func(*onnxgraph.Node) string) string {
	shared, first := "", true
	c.eachOperator(func(n *onnxgraph.Node) {
		name := source(n)
		if name == "" {
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
