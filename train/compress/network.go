package compress

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A network is what is compressed, in two readings of the same cells: as it is
// in the file, and made for any batch.
type network struct {
	file, loose *cellmap.Map
	types       *onnxgraph.Types // of the loose one's values
	// cuts are values through which all data pass: the input, the cells'
	// outputs, the output.
	cuts  []string
	sites []site
	cost  *onnxgraph.Cost
	// ranked are the channels between convolutions by what they matter, by the
	// value that has them.
	ranked map[string][]int
}

// A site is a cell with the ways to write it.
type site struct {
	cell    int // of the map
	from    int // cuts[from] enters the cell, cuts[from+1] leaves it
	options []option
}

// An option is one way to write a cell. The first one of a site is empty.
type option struct {
	moves  []cellmap.EdgeID
	to     []cellmap.Op
	narrow []narrowing
	form   form
	// costs are the multiply-adds, parameters of the whole network if this alone is done.
	madds, params int64
}

// A form says how what is gone is made up for.
type form uint8

const (
	// refitted: the operations that are left in the cell learn what was removed.
	refitted form = iota
	// folded: the cell is gone, and the last operation before it learns what it did.
	folded
	// scaled and pointwise: a mend takes the place of the cell's branch.
	scaled
	pointwise
	// blended: both folded and pointwise.
	blended
	// narrowed: convolutions pass on fewer channels, and those that read them learn
	// what is missing.
	narrowed
)

func (f form) String() string {
	return [...]string{"refitted", "folded", "scale", "pointwise", "folded, pointwise", "narrowed"}[f]
}

// folds reports whether the operation before the cell learns what the cell did.
func (f form) folds() bool { return f == folded || f == blended }

func newNetwork(m *onnxgraph.Model) (*network, error) {
	loose, err := m.AnyBatch()
	if err != nil {
		return nil, err
	}
	n := &network{file: cellmap.Lift(m), loose: cellmap.Lift(loose)}
	n.types = n.loose.Types
	if len(n.file.Cells) != len(n.loose.Cells) {
		return nil, fmt.Errorf("%s: has other cells when it takes any batch", m.Path)
	}
	n.cost = loose.Cost(n.types)
	n.cut()
	for i, c := range n.loose.Cells {
		from := slices.Index(n.cuts, c.Inputs[1])
		if from < 0 || n.cuts[from+1] != c.Output {
			continue
		}
		s := site{cell: i, from: from, options: []option{{madds: n.cost.MAdds, params: n.cost.Params}}}
		n.options(c, &s)
		if len(s.options) > 1 {
			n.sites = append(n.sites, s)
		}
	}
	return n, nil
}

// cut finds the values that all data pass through, as far as cells end there.
func (n *network) cut() {
	g := n.loose.Model.Graph
	in, out := g.RealInputs()[0].Name, g.Outputs[0].Name
	n.cuts = []string{in}
	try := func(name string) {
		last := n.cuts[len(n.cuts)-1]
		if name == last || slices.Contains(n.cuts, name) {
			return
		}
		from := &onnxgraph.Value{Name: last, Type: n.types.Of(last)}
		if _, err := n.loose.Model.Extract([]*onnxgraph.Value{from}, []string{name}); err == nil {
			n.cuts = append(n.cuts, name)
		}
	}
	for _, c := range n.loose.Cells {
		try(c.Inputs[1])
		try(c.Output)
	}
	try(out)
}

// options lists the ways to write a cell that cost less than the cell as it is.
func (n *network) options(c *cellmap.Cell, s *site) {
	seen := map[string]bool{}
	add := func(o option) {
		m, _, err := n.lower(n.loose, []choice{{site: s, option: &o}})
		if err != nil {
			return
		}
		cost := m.Cost(m.Infer())
		o.madds, o.params = cost.MAdds, cost.Params
		key := fmt.Sprint(o.form, cost.MAdds, cost.Params, len(m.Graph.Nodes))
		if cost.MAdds >= n.cost.MAdds || seen[key] {
			return
		}
		seen[key] = true
		s.options = append(s.options, o)
	}
	for i := range c.Nodes {
		for slot, e := range c.Nodes[i].Edges {
			id := cellmap.EdgeID{Node: i + 2, Slot: slot}
			if e.Op.Class() != cellmap.ClassOther || e.Fixed {
				continue
			}
			for _, to := range []cellmap.Op{cellmap.Skip, cellmap.Null} {
				if to == cellmap.Null && !endsBranch(c, id) || n.loose.Allowed(cellmap.Move{Cell: c, Edge: id, To: to}) != nil {
					continue
				}
				o := option{moves: []cellmap.EdgeID{id}, to: []cellmap.Op{to}}
				if to != cellmap.Null || c.Shortcut != cellmap.Identity {
					add(o)
					continue
				}
				for _, o.form = range []form{folded, scaled, pointwise, blended} {
					if !o.form.folds() || n.foldable(s) {
						add(o)
					}
				}
			}
		}
	}
	for _, list := range n.narrowings(c) {
		add(option{narrow: list, form: narrowed})
	}
}

// endsBranch reports whether an edge is the last operation of an operand of the
// cell's closing sum.
func endsBranch(c *cellmap.Cell, id cellmap.EdgeID) bool {
	last := len(c.Nodes) + 1
	for k := id.Node; k < last; {
		n := c.Nodes[k-2]
		if len(n.Act) > 0 || n.Edges[0].Op != cellmap.Null && n.Edges[1].Op != cellmap.Null {
			return false
		}
		next := 0
		for i := k - 1; i < len(c.Nodes) && next == 0; i++ {
			for _, e := range c.Nodes[i].Edges {
				if e.From == k && e.Op != cellmap.Null {
					if e.Op != cellmap.Skip {
						return false
					}
					next = i + 2
				}
			}
		}
		if next == 0 {
			return false
		}
		k = next
	}
	return c.Nodes[last-2].Sum != nil
}

// foldable reports whether linear operations make what enters the cell, so that
// they can learn what the cell did.
func (n *network) foldable(s *site) bool {
	return len(feeders(n.loose.Model, before(n.loose.Model, n.cuts[s.from]))) > 0
}

// before is the value that activations make another one of.
func before(m *onnxgraph.Model, value string) string {
	p := m.Graph.Index().Producer[value]
	for p != nil && p.Is("Relu", "Clip") {
		value = p.Inputs[0]
		p = m.Graph.Index().Producer[value]
	}
	return value
}

// feeders are the linear operations that make a value, or are added up to it,
// by the values that they make.
func feeders(m *onnxgraph.Model, value string) []string {
	p := m.Graph.Index().Producer[value]
	switch {
	case p == nil:
		return nil
	case p.Is("Conv", "Gemm"):
		return []string{value}
	case p.Is("BatchNormalization"):
		return feeders(m, p.Inputs[0])
	case !p.Is("Add", "Sum"):
		return nil
	}
	var all []string
	for _, name := range p.Inputs {
		q := m.Graph.Index().Producer[name]
		if q != nil && !q.Is("Add", "Sum") && len(m.Graph.Index().Consumers[name]) == 1 {
			all = append(all, feeders(m, name)...)
		}
	}
	return all
}

// A choice is an option of a site.
type choice struct {
	site   *site
	option *option
	number int // of the option
}

// patch carries out the moves of choices on one reading of the network.
func (n *network) patch(m *cellmap.Map, choices []choice) (*onnxgraph.Patch, error) {
	var moves []cellmap.Move
	var mends []cellmap.Mend
	for _, ch := range choices {
		c := m.Cells[ch.site.cell]
		for i, id := range ch.option.moves {
			moves = append(moves, cellmap.Move{Cell: c, Edge: id, To: ch.option.to[i]})
		}
		switch ch.option.form {
		case scaled:
			mends = append(mends, cellmap.Mend{Cell: c, Node: len(c.Nodes) + 1, Form: cellmap.Scale})
		case pointwise, blended:
			mends = append(mends, cellmap.Mend{Cell: c, Node: len(c.Nodes) + 1, Form: cellmap.Pointwise})
		}
	}
	return m.LowerMended(moves, mends, cellmap.IdentitySkip)
}
