package cellmap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A FormEdge is an edge of a Form: an operation from one node to another.
type FormEdge struct {
	Op       Op
	From, To int
	Fixed    bool // not open to decisions
}

// A Form is the bare structure of a cell: two edges for each intermediate node
// in ascending order (Edges[2*i] and Edges[2*i+1] lead to node i+2), and the
// nodes whose concatenation is the output. Policies see cells in this form.
type Form struct {
	Edges  []FormEdge
	Concat []int
}

// Live says of each node, the two inputs being the first, whether it depends on an
// input: not where all ways there are null.
func (f Form) Live() []bool {
	live := make([]bool, len(f.Edges)/2+2)
	live[0], live[1] = true, true
	for _, e := range f.Edges {
		live[e.To] = live[e.To] || e.Op != Null && live[e.From]
	}
	return live
}

// A Genotype is an architecture in the authors' form (spec section 1.4).
type Genotype struct {
	Normal, Reduce Form
}

// String writes g as the authors' code prints it: a Python namedtuple of
// (operation, from, to) lists. ParseGenotype reads it back. Whether an edge is
// fixed has no place there.
func (g Genotype) String() string {
	var b strings.Builder
	b.WriteString("Genotype(normal=")
	writeTuples(&b, g.Normal.Edges)
	b.WriteString(", normal_concat=")
	writeInts(&b, g.Normal.Concat)
	b.WriteString(", reduce=")
	writeTuples(&b, g.Reduce.Edges)
	b.WriteString(", reduce_concat=")
	writeInts(&b, g.Reduce.Concat)
	b.WriteByte(')')
	return b.String()
}

// Validate reports the first fault of either cell.
func (g Genotype) Validate() error {
	if err := g.Normal.Validate(); err != nil {
		return fmt.Errorf("normal: %w", err)
	}
	if err := g.Reduce.Validate(); err != nil {
		return fmt.Errorf("reduce: %w", err)
	}
	return nil
}

// Equal reports whether both cells are equal, in the sense of Form.Equal.
func (g Genotype) Equal(h Genotype) bool {
	return g.Normal.Equal(h.Normal) && g.Reduce.Equal(h.Reduce)
}

func writeTuples(b *strings.Builder, edges []FormEdge) {
	b.WriteByte('[')
	for i, e := range edges {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(b, "('%s', %d, %d)", e.Op, e.From, e.To)
	}
	b.WriteByte(']')
}

func writeInts(b *strings.Builder, list []int) {
	b.WriteByte('[')
	for i, n := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(n))
	}
	b.WriteByte(']')
}

// String writes f in the compact form of the spec (section 1.6): "x<f" is
// operation x from node f, "|" separates nodes 2, 3, ..., and cat lists the
// output. Operations are s, d, w, c for separable, dilated, depthwise and dense
// convolution, M and A for pooling, each with its kernel (3 for 3x3, 1x7 for
// 1x7, 13 for 1x3 then 3x1), S for skip and N for null. "!" marks a fixed edge.
func (f Form) String() string {
	var b strings.Builder
	for i, e := range f.Edges {
		switch {
		case i > 0 && e.To != f.Edges[i-1].To:
			b.WriteString(" | ")
		case i > 0:
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s<%d", e.Op.compact(), e.From)
		if e.Fixed {
			b.WriteByte('!')
		}
	}
	if len(f.Edges) > 0 {
		b.WriteByte(' ')
	}
	b.WriteString("cat")
	writeInts(&b, f.Concat)
	return b.String()
}

var letters = map[string]string{Conv: "c", DWConv: "w", SepConv: "s", DilConv: "d", MaxPool: "M", AvgPool: "A"}

func (o Op) compact() string {
	switch o {
	case Null:
		return "N"
	case Skip:
		return "S"
	}
	family, kernels, ok := o.split()
	if !ok {
		return string(o)
	}
	k := kernels[0]
	switch {
	case len(kernels) == 2: // 1x3_3x1: the two lengths
		return letters[family] + k[:strings.IndexByte(k, 'x')] + k[strings.IndexByte(k, 'x')+1:]
	case len(k) == 3 && k[0] == k[2]:
		return letters[family] + k[:1]
	}
	return letters[family] + k
}

// split takes an operation apart into its family and its kernels: one, or two
// for a convolution that is split into a row and a column (conv_1x3_3x1).
func (o Op) split() (family string, kernels []string, ok bool) {
	for family := range letters {
		rest, found := strings.CutPrefix(string(o), family+"_")
		if !found {
			continue
		}
		kernels := strings.Split(rest, "_")
		if !slices.ContainsFunc(kernels, func(k string) bool { return !isKernel(k) }) &&
			(len(kernels) == 1 || family == Conv && isRowColumn(kernels)) {
			return family, kernels, true
		}
	}
	return "", nil, false
}

func isRowColumn(kernels []string) bool {
	n, ok := strings.CutPrefix(kernels[0], "1x")
	return ok && len(kernels) == 2 && len(n) == 1 && kernels[1] == n+"x1"
}

func isKernel(k string) bool {
	h, w, ok := strings.Cut(k, "x")
	return ok && isLength(h) && isLength(w)
}

func isLength(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '0'
}

func (o Op) known() bool {
	if o == Null || o == Skip {
		return true
	}
	_, _, ok := o.split()
	return ok
}

// Validate reports the first fault of f: a node without exactly two edges in
// ascending order, an edge that does not come from an earlier node, an
// operation whose name is none of the vocabulary's, or an output that names a
// node twice or one that does not exist.
func (f Form) Validate() error {
	if len(f.Edges) == 0 || len(f.Edges)%2 != 0 {
		return fmt.Errorf("%d edges: want two for each intermediate node", len(f.Edges))
	}
	for i, e := range f.Edges {
		switch to := i/2 + 2; {
		case e.To != to:
			return fmt.Errorf("edge %d leads to node %d: want node %d, as nodes have two edges each, in ascending order", i, e.To, to)
		case e.From < 0 || e.From >= to:
			return fmt.Errorf("edge %d comes from node %d: want a node from 0 to %d", i, e.From, to-1)
		case !e.Op.known():
			return fmt.Errorf("edge %d: operation %q: want null, skip_connect or a kind with its kernel, such as conv_3x3", i, e.Op)
		}
	}
	if len(f.Concat) == 0 {
		return fmt.Errorf("concat is empty: want the nodes that make the output")
	}
	last := len(f.Edges)/2 + 1
	for i, n := range f.Concat {
		if n < 2 || n > last {
			return fmt.Errorf("concat names node %d: want an intermediate node, from 2 to %d", n, last)
		}
		if slices.Contains(f.Concat[:i], n) {
			return fmt.Errorf("concat names node %d twice", n)
		}
	}
	return nil
}

// Equal reports whether f and g are the same cell: the order of the two edges
// of a node does not count, nor does whether they are fixed.
func (f Form) Equal(g Form) bool {
	if len(f.Edges) != len(g.Edges) || len(f.Edges)%2 != 0 || !slices.Equal(f.Concat, g.Concat) {
		return false
	}
	for i := 0; i < len(f.Edges); i += 2 {
		a, b, c, d := f.Edges[i], f.Edges[i+1], g.Edges[i], g.Edges[i+1]
		if !(a.Same(c) && b.Same(d) || a.Same(d) && b.Same(c)) {
			return false
		}
	}
	return true
}

// Same reports whether two edges are the same operation between the same nodes.
func (e FormEdge) Same(f FormEdge) bool { return e.Op == f.Op && e.From == f.From && e.To == f.To }

// Published returns f with its operations under the authors' names (see
// Op.Published), to compare lifted cells with published ones.
func (f Form) Published() Form {
	f.Edges = slices.Clone(f.Edges)
	for i := range f.Edges {
		f.Edges[i].Op = f.Edges[i].Op.Published()
	}
	return f
}
