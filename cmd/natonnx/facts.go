package main

import (
	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/transformer"
)

// The types in this file are what --json prints. Their field names are part of
// the public interface, and docs/schema describes them: add to both, but do not
// rename.

// A schemaV1 is the version of a document's schema, which is 1.
type schemaV1 struct{}

// MarshalJSON writes the version.
func (schemaV1) MarshalJSON() ([]byte, error) { return []byte("1"), nil }

// A costFact is what a model costs. Counts are for a batch of 1 where
// BatchAssumed says so.
type costFact struct {
	Params          int64 `json:"params"`
	MultiplyAdds    int64 `json:"multiply_adds"`
	Elementwise     int64 `json:"elementwise"`
	ActivationBytes int64 `json:"activation_bytes"`
	Nodes           int   `json:"nodes"`
	FileBytes       int64 `json:"file_bytes"` // without external data
	BatchAssumed    bool  `json:"batch_assumed_1"`
	UnknownNodes    int   `json:"nodes_of_unknown_cost"`
}

func newCostFact(m *onnxgraph.Model, c *onnxgraph.Cost) costFact {
	return costFact{c.Params, c.MAdds, c.Elementwise, c.PeakActivation, len(m.Graph.Nodes), m.Size(), c.BatchAssumed, len(c.Unknown)}
}

// A valueFact is a value of the network. Its shape is null where the rank is
// unknown; a dimension is a number, a symbol, or null where nothing is known.
type valueFact struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []any  `json:"shape"`
}

func newValueFact(name string, t onnxgraph.Type) valueFact {
	v := valueFact{Name: name, Type: t.Kind}
	if t.Kind == "tensor" {
		v.Type = t.Elem.String()
	}
	if t.Shape != nil {
		v.Shape = []any{}
	}
	for _, d := range t.Shape {
		switch {
		case d.Known():
			v.Shape = append(v.Shape, d.N)
		case d.Sym == onnxgraph.Unknown.Sym:
			v.Shape = append(v.Shape, nil)
		default:
			v.Shape = append(v.Shape, d.String())
		}
	}
	return v
}

// A cellFact is a cell. Genotype is its compact form.
type cellFact struct {
	Index     int       `json:"index"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Kind      string    `json:"kind"`
	Shortcut  string    `json:"shortcut,omitempty"`
	Reduction bool      `json:"reduction"`
	Input     valueFact `json:"input"`
	Output    valueFact `json:"output"`
	Genotype  string    `json:"genotype"`
	After     string    `json:"genotype_after,omitempty"`
}

func newCellFact(m *cellmap.Map, c *cellmap.Cell) cellFact {
	return cellFact{
		Index: c.Index, Name: c.Name, Type: c.Type.Name, Kind: string(c.Kind), Shortcut: string(c.Shortcut), Reduction: c.Reduction,
		Input:    newValueFact(c.Inputs[1], m.Types.Of(c.Inputs[1])),
		Output:   newValueFact(c.Output, m.Types.Of(c.Output)),
		Genotype: c.Form().String(),
	}
}

// A moveFact is a change of one edge: slot 0 or 1 of a node of a cell. Nodes are
// numbered as in figures (cellmap.Label). It saves what the operators that go cost,
// less what those cost that come.
type moveFact struct {
	Cell         string `json:"cell"`
	CellIndex    int    `json:"cell_index"`
	Node         int    `json:"node"`
	Slot         int    `json:"slot"`
	Source       int    `json:"source"` // the node that the edge reads
	From         string `json:"from"`
	To           string `json:"to"`
	Gated        bool   `json:"gated"`
	MultiplyAdds int64  `json:"saved_multiply_adds"`
	Params       int64  `json:"saved_params"`
	// Inherited is how much of the operation the weights of another kind take
	// over, from 0 to 1; absent where there are none.
	Inherited *float64 `json:"inherited,omitempty"`
	Reason    string   `json:"reason,omitempty"` // of a refusal
}

func (d *decision) moveFact(m cellmap.Move) moveFact {
	return moveFact{
		Cell: m.Cell.Name, CellIndex: m.Cell.Index, Node: cellmap.Label(m.Edge.Node), Slot: m.Edge.Slot, Source: cellmap.Label(m.Old().From),
		From: string(m.Old().Op), To: string(m.To), Gated: d.gated(m),
	}
}

// gated reports whether the move adds a skip that starts as zero.
func (d *decision) gated(m cellmap.Move) bool {
	return m.Old().Op == cellmap.Null && m.To == cellmap.Skip && d.opt.SkipInit == cellmap.ZeroGate
}

func (d *decision) planned(m transformer.PlannedMove) moveFact {
	f := d.moveFact(m.Move)
	f.MultiplyAdds, f.Params, f.Inherited = m.MAdds, m.Params, m.Inherited
	return f
}

// A placeFact is a place in the network that is no cell, and why.
type placeFact struct {
	Where  string `json:"where"`
	Reason string `json:"reason"`
}

func placeFacts(refused []cellmap.Refusal) []placeFact {
	list := []placeFact{}
	for _, r := range refused {
		list = append(list, placeFact{r.Where, r.Reason})
	}
	return list
}

// A decisionFact is what optimize and plan print.
type decisionFact struct {
	Schema     schemaV1    `json:"schema_version"`
	Version    string      `json:"natonnx_version"`
	Input      string      `json:"input"`
	Output     *string     `json:"output"` // null: nothing was written
	Mode       string      `json:"mode"`
	ModeReason string      `json:"mode_reason"`
	Policy     string      `json:"policy"`
	Rules      string      `json:"rules"`
	Samples    int         `json:"samples"`
	Seed       uint64      `json:"seed"`
	Per        string      `json:"per"`
	SkipInit   string      `json:"skip_init"`
	Changed    bool        `json:"changed"`
	Retrain    string      `json:"retrain"`  // required, optional or no
	Accuracy   *float64    `json:"accuracy"` // top-1 of the result, from 0 to 1; null: not measured
	Tried      int         `json:"candidates_tried"`
	LogProb    float64     `json:"log_prob"`
	Cells      []cellFact  `json:"cells"`
	Moves      []moveFact  `json:"moves"`
	Refused    []moveFact  `json:"refused_moves"`
	NoCells    []placeFact `json:"not_cells"`
	Before     costFact    `json:"before"`
	After      costFact    `json:"after"`
	effectFact
}

func (d *decision) fact(output *string) decisionFact {
	f := decisionFact{
		Version: version, Input: d.path, Output: output, Mode: "redesign", ModeReason: d.mode,
		Policy: d.policy, Rules: d.opt.Rules.Name, Samples: d.opt.Samples, Seed: d.opt.Seed, Per: d.per(), SkipInit: d.skipInit(),
		Changed: len(d.Moves) > 0, Retrain: d.retrain(), Tried: d.Tried, LogProb: d.LogProb,
		Cells: []cellFact{}, Moves: []moveFact{}, Refused: []moveFact{}, NoCells: placeFacts(d.Map.Refused),
		Before: newCostFact(d.Map.Model, d.Before), After: newCostFact(d.Result, d.After), effectFact: d.effect.fact(),
	}
	if a := d.effect.accuracy; a != nil {
		f.Accuracy = &a.Top1.Share
	}
	for _, m := range d.Moves {
		f.Moves = append(f.Moves, d.planned(m))
	}
	for _, m := range d.Refused {
		r := d.moveFact(m.Move)
		r.Gated, r.Reason = false, m.Reason
		f.Refused = append(f.Refused, r)
	}
	after := d.forms()
	for _, c := range d.Map.Cells {
		cell := newCellFact(d.Map, c)
		if form := after[c]; !form.Equal(c.Form()) {
			cell.After = form.String()
		}
		f.Cells = append(f.Cells, cell)
	}
	return f
}

// forms returns each cell as it is after the moves.
func (d *decision) forms() map[*cellmap.Cell]cellmap.Form {
	forms := map[*cellmap.Cell]cellmap.Form{}
	for _, c := range d.Map.Cells {
		forms[c] = c.Form()
	}
	for _, m := range d.Moves {
		forms[m.Cell].Edges[2*(m.Edge.Node-2)+m.Edge.Slot].Op = m.To
	}
	return forms
}
