package cellmap

import (
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// dataflow is the data flow of a graph: which values are computed from the inputs'
// elements (not only from their shapes), and the cut values that every path
// from input to output passes.
type dataflow struct {
	graph *onnxgraph.Graph
	index *onnxgraph.Index
	data  map[string]bool // values computed from the inputs' elements
	// stretches are what lies between consecutive cut values, along the network.
	stretches []stretch
}

// A stretch is the single-entry single-exit part between two cut values.
type stretch struct {
	in, out string
	nodes   []*onnxgraph.Node // in file order; one node where the flow does not branch
}

// newDataflow analyses a graph in time linear in its size.
func newDataflow(g *onnxgraph.Graph) *dataflow {
	f := &dataflow{graph: g, index: g.Index(), data: map[string]bool{}}
	f.markData()
	f.cut(f.onMainPath())
	return f
}

// dataInputs returns the distinct inputs of n that carry data.
func (f *dataflow) dataInputs(n *onnxgraph.Node) []string {
	var out []string
	for i, name := range n.Inputs {
		if f.data[name] && !contains(n.Inputs[:i], name) {
			out = append(out, name)
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// markData marks what depends on the inputs' elements. The output of Shape and
// Size does not: exporters compute the classifier's batch size from the image,
// and that must not count as a path past the whole network.
func (f *dataflow) markData() {
	for _, v := range f.graph.RealInputs() {
		f.data[v.Name] = true
	}
	for _, n := range f.graph.Nodes {
		if n.Is("Shape", "Size") {
			continue
		}
		carries := len(f.dataInputs(n)) > 0
		for _, name := range n.Captures {
			carries = carries || f.data[name]
		}
		if carries {
			for _, o := range n.Outputs {
				f.data[o] = o != ""
			}
		}
	}
}

// onMainPath marks the nodes that lead to the last of the graph's outputs to be
// computed. Other outputs are taps and side heads: they read the network's
// values and do not hide its structure.
func (f *dataflow) onMainPath() map[*onnxgraph.Node]bool {
	var last *onnxgraph.Node
	for _, v := range f.graph.Outputs {
		if n := f.index.Producer[v.Name]; n != nil && f.data[v.Name] && (last == nil || n.Index > last.Index) {
			last = n
		}
	}
	marked := map[*onnxgraph.Node]bool{}
	if last == nil {
		return marked
	}
	marked[last] = true
	queue := []*onnxgraph.Node{last}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, list := range [][]string{n.Inputs, n.Captures} {
			for _, name := range list {
				if p := f.index.Producer[name]; p != nil && f.data[name] && !marked[p] {
					marked[p] = true
					queue = append(queue, p)
				}
			}
		}
	}
	return marked
}

// added begins the names of all that lowering adds to a network.
const added = "natonnx/"

// halfway begins the names of values between a depthwise and a pointwise
// convolution that took one convolution's place. They are read as one operation,
// so that a transformed network has the cells that it was made of.
const halfway = added + "depthwise/"

// pointwiseOf returns the second convolution of such a pair, given the first; else nil.
func (f *dataflow) pointwiseOf(n *onnxgraph.Node) *onnxgraph.Node {
	if !n.Is("Conv") || !strings.HasPrefix(n.Outputs[0], halfway) {
		return nil
	}
	readers := f.index.Consumers[n.Outputs[0]]
	if len(readers) != 1 || readers[0].Input != 0 || !readers[0].Node.Is("Conv") || f.index.Output[n.Outputs[0]] != nil {
		return nil
	}
	return readers[0].Node
}

// isAddedSkip reports whether a read is that of a skip which an earlier
// lowering put in place of a null edge. Such skips lead from cell k-2 past cell
// k-1; they are set aside while blocks are told apart, so that a transformed
// network is read as the cells that it was made of.
func isAddedSkip(u onnxgraph.Use) bool {
	return u.Input == 0 && strings.HasPrefix(u.Node.Name, added) && u.Node.Is("Mul", "Add")
}

// cut splits the main path at its cut values. In a topological order with
// every vertex on some path from source to sink, a vertex lies on all paths
// exactly when no edge spans its position; so one sweep that carries the
// furthest reader seen so far finds all cuts.
func (f *dataflow) cut(main map[*onnxgraph.Node]bool) {
	reach := 0 // the furthest position that reads anything seen so far
	position := map[*onnxgraph.Node]int{}
	var order []*onnxgraph.Node
	for _, n := range f.graph.Nodes {
		if main[n] {
			position[n] = len(order)
			order = append(order, n)
		}
	}
	furthest := func(name string) int {
		far := -1
		for _, u := range f.index.Consumers[name] {
			if p, ok := position[u.Node]; ok && !isAddedSkip(u) {
				far = max(far, p)
			}
		}
		return far
	}
	var seg stretch
	if in := f.graph.RealInputs(); len(in) == 1 {
		seg.in = in[0].Name
	}
	for _, v := range f.graph.RealInputs() {
		reach = max(reach, furthest(v.Name))
	}
	for i, n := range order {
		seg.nodes = append(seg.nodes, n)
		var live []string // outputs that the main path reads on
		for _, o := range n.Outputs {
			if far := furthest(o); far >= 0 && f.data[o] {
				live = append(live, o)
			}
		}
		spans := reach > i
		for _, o := range live {
			reach = max(reach, furthest(o))
		}
		if i == len(order)-1 {
			live = n.Outputs[:1]
		}
		if !spans && len(live) == 1 {
			seg.out = live[0]
			f.stretches = append(f.stretches, seg)
			seg = stretch{in: live[0]}
		}
	}
}
