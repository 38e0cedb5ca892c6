package diff

import (
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A Cost is what a model costs; see onnxgraph.Cost. Counts are for a batch of 1
// where BatchAssumed says so.
type Cost struct {
	Params          int64 `json:"params"`
	MultiplyAdds    int64 `json:"multiply_adds"`
	Elementwise     int64 `json:"elementwise"`
	ActivationBytes int64 `json:"activation_bytes"`
	Nodes           int   `json:"nodes"`
	FileBytes       int64 `json:"file_bytes"` // without external data
	BatchAssumed    bool  `json:"batch_assumed_1"`
	UnknownNodes    int   `json:"nodes_of_unknown_cost"` // left out of the sums
}

// A CostChange is one kind of cost, before and after.
type CostChange struct {
	What          string
	Before, After int64
	Bytes         bool // the numbers are bytes
}

// Costs lists all kinds of cost; nil where one of the models is invalid.
func (d *Diff) Costs() []CostChange {
	a, b := d.Before.Cost, d.After.Cost
	if a == nil || b == nil {
		return nil
	}
	return []CostChange{
		{"parameters", a.Params, b.Params, false},
		{"multiply-adds", a.MultiplyAdds, b.MultiplyAdds, false},
		{"element-wise", a.Elementwise, b.Elementwise, false},
		{"activation memory", a.ActivationBytes, b.ActivationBytes, true},
		{"nodes", int64(a.Nodes), int64(b.Nodes), false},
		{"file size", a.FileBytes, b.FileBytes, true},
	}
}

// Cells are how the cells of two models relate (see package cellmap).
type Cells struct {
	Before  int          `json:"before"` // how many there are
	After   int          `json:"after"`
	Same    int          `json:"same"`
	Changed []CellChange `json:"changed"`
	Added   []Cell       `json:"added"`
	Removed []Cell       `json:"removed"`
}

// A Cell is a cell of one of the models.
type Cell struct {
	Index    int          `json:"index"` // along the network
	Name     string       `json:"name"`
	Kind     string       `json:"kind"`
	Shortcut string       `json:"shortcut,omitempty"`
	Genotype string       `json:"genotype"` // in compact form
	Form     cellmap.Form `json:"-"`
}

// A CellChange is a cell of both models whose form differs.
type CellChange struct {
	Before Cell `json:"before"`
	After  Cell `json:"after"`
	// Moves lead from Before to After. There are none where the two have other
	// nodes or read other nodes: then no moves lead there.
	Moves []Move `json:"moves"`
	// Stated says that After is what the Stamp states: the other model has lost
	// so much that no such cell can be read from it.
	Stated bool `json:"stated"`
}

// A Move is a change of one edge of a cell. Nodes are numbered as in figures
// (cellmap.Label). It saves what the operators of the edge cost less.
type Move struct {
	Node         int    `json:"node"`
	Slot         int    `json:"slot"`   // 0 or 1, before
	Source       int    `json:"source"` // the node that the edge reads
	From         string `json:"from"`
	To           string `json:"to"`
	MultiplyAdds int64  `json:"saved_multiply_adds"`
	Params       int64  `json:"saved_params"`
}

// A priced model has its cells and what its nodes cost.
type priced struct {
	*cellmap.Map
	cost *onnxgraph.Cost
	of   map[*onnxgraph.Node]onnxgraph.NodeCost
}

func newPriced(m *onnxgraph.Model) *priced {
	p := &priced{Map: cellmap.Lift(m), of: map[*onnxgraph.Node]onnxgraph.NodeCost{}}
	p.cost = m.Cost(p.Types)
	for _, c := range p.cost.Nodes {
		p.of[c.Node] = c
	}
	return p
}

func (p *priced) total() *Cost {
	c := p.cost
	return &Cost{c.Params, c.MAdds, c.Elementwise, c.PeakActivation, len(p.Model.Graph.Nodes), p.Model.Size(), c.BatchAssumed, len(c.Unknown)}
}

// edge returns what the operators of an edge cost.
func (p *priced) edge(e cellmap.Edge) (madds, params int64) {
	for _, n := range e.Nodes {
		madds, params = madds+p.of[n].MAdds, params+p.of[n].Params
	}
	return madds, params
}

func cellOf(c *cellmap.Cell) Cell {
	f := c.Form()
	return Cell{c.Index, c.Name, string(c.Kind), string(c.Shortcut), f.String(), f}
}

// cells compares the cells.
func (m *match) cells(a, b *priced, s *Stamp) Cells {
	list := Cells{Before: len(a.Cells), After: len(b.Cells), Changed: []CellChange{}, Added: []Cell{}, Removed: []Cell{}}
	partner := m.pairCells(a.Map, b.Map)
	taken := map[*cellmap.Cell]bool{}
	for _, c := range a.Cells {
		d := partner[c]
		taken[d] = true
		if d != nil && c.Form().Equal(d.Form()) {
			list.Same++
			continue
		}
		var change CellChange
		if d != nil {
			change = CellChange{Before: cellOf(c), After: cellOf(d), Moves: moves(a, b, c, d)}
		}
		if stated := s.change(a, c); len(change.Moves) == 0 && stated != nil {
			change = *stated
		}
		if d == nil && !change.Stated {
			list.Removed = append(list.Removed, cellOf(c))
			continue
		}
		list.Changed = append(list.Changed, change)
	}
	for _, d := range b.Cells {
		if !taken[d] {
			list.Added = append(list.Added, cellOf(d))
		}
	}
	return list
}

// change returns what the stamp of the second model states of a cell; nil
// where it states nothing, or what the cell is not.
func (s *Stamp) change(p *priced, c *cellmap.Cell) *CellChange {
	if s == nil || s.Of != "after" {
		return nil
	}
	change := &CellChange{Before: cellOf(c), After: cellOf(c), Stated: true}
	for _, m := range s.Moves {
		if m.Cell != c.Name {
			continue
		}
		if m.Node < 0 || m.Node >= len(c.Nodes) || m.Slot < 0 || m.Slot > 1 {
			return nil
		}
		e := c.Nodes[m.Node].Edges[m.Slot]
		if string(e.Op) != m.From {
			return nil
		}
		change.After.Form.Edges[2*m.Node+m.Slot].Op = cellmap.Op(m.To)
		madds, params := p.edge(e)
		change.Moves = append(change.Moves, Move{m.Node, m.Slot, cellmap.Label(e.From), m.From, m.To, madds, params})
	}
	if len(change.Moves) == 0 || change.After.Form.Validate() != nil {
		return nil
	}
	change.After.Genotype = change.After.Form.String()
	return change
}

// pairCells pairs each cell with the one that has most of its nodes; where no
// node is left of it, with its namesake.
func (m *match) pairCells(a, b *cellmap.Map) map[*cellmap.Cell]*cellmap.Cell {
	home, named := map[*onnxgraph.Node]*cellmap.Cell{}, map[string]*cellmap.Cell{}
	for _, d := range b.Cells {
		named[d.Name] = d
		for _, n := range nodesOf(d) {
			home[n] = d
		}
	}
	pairs, taken := map[*cellmap.Cell]*cellmap.Cell{}, map[*cellmap.Cell]bool{}
	for _, c := range a.Cells {
		votes := map[*cellmap.Cell]int{}
		var best *cellmap.Cell
		for _, n := range nodesOf(c) {
			j := m.ab[n.Index]
			if j < 0 {
				continue
			}
			if d := home[m.b.nodes[j]]; d != nil && !taken[d] {
				votes[d]++
				if best == nil || votes[d] > votes[best] {
					best = d
				}
			}
		}
		if d := named[c.Name]; best == nil && d != nil && !taken[d] {
			best = d
		}
		if best != nil {
			pairs[c], taken[best] = best, true
		}
	}
	return pairs
}

func nodesOf(c *cellmap.Cell) (list []*onnxgraph.Node) {
	for _, n := range c.Nodes {
		for _, e := range n.Edges {
			list = append(list, e.Nodes...)
		}
		if n.Sum != nil {
			list = append(list, n.Sum)
		}
		list = append(list, n.Act...)
	}
	if c.Join != nil {
		list = append(list, c.Join)
	}
	return list
}

// moves returns the moves that make d of c, and no move where there are none.
func moves(a, b *priced, c, d *cellmap.Cell) []Move {
	list := []Move{}
	if len(c.Nodes) != len(d.Nodes) || !slices.Equal(c.Concat, d.Concat) {
		return list
	}
	for i := range c.Nodes {
		was, is := c.Nodes[i].Edges, likewise(c.Nodes[i].Edges, d.Nodes[i].Edges)
		for slot := range was {
			x, y := was[slot], is[slot]
			if x.From != y.From {
				return []Move{}
			}
			if x.Op == y.Op {
				continue
			}
			madds, params := a.edge(x)
			maddsAfter, paramsAfter := b.edge(y)
			list = append(list, Move{cellmap.Label(i + 2), slot, cellmap.Label(x.From), string(x.Op), string(y.Op), madds - maddsAfter, params - paramsAfter})
		}
	}
	return list
}

// likewise returns the edges g in the order that fits those of f best: the two
// edges of a sum have none of their own.
func likewise(f, g [2]cellmap.Edge) [2]cellmap.Edge {
	fit := func(x, y cellmap.Edge) int {
		switch {
		case x.From != y.From:
			return 0
		case x.Op != y.Op:
			return 2
		}
		return 3
	}
	if fit(f[0], g[1])+fit(f[1], g[0]) > fit(f[0], g[0])+fit(f[1], g[1]) {
		return [2]cellmap.Edge{g[1], g[0]}
	}
	return g
}
