package train

import (
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// Moves201 are what rules make of operations of NAS-Bench-201 cells: for each
// operation, by its index in the vocabulary, those that it may become, itself
// first. Moves to operations that the benchmark does not know are left out.
type Moves201 [len(ops201)][]int

// MovesOf201 returns the moves of rules.
func MovesOf201(rules transformer.Rules) (m Moves201) {
	for from, op := range vocabulary201 {
		m[from] = []int{from}
		for to := range vocabulary201 {
			if to != from && movable(rules, op, vocabulary201[to]) {
				m[from] = append(m[from], to)
			}
		}
	}
	return m
}

func movable(rules transformer.Rules, from, to cellmap.Op) bool {
	for a := range transformer.Action(transformer.Actions) {
		if rules.Allows(cellmap.FormEdge{Op: from}, a) && a.Apply(from) == to {
			return true
		}
	}
	return false
}

// Edges201 is the number of edges of a NAS-Bench-201 cell.
const Edges201 = len(edges201)

// Options returns, for each edge of a cell, what may be added to the cell's
// number to let the edge move; 0, the edge as it is, comes first. Edges move
// independently: the cell plus one option of each edge is a transformation of
// it, and there are no others.
func (m *Moves201) Options(cell int) (options [Edges201][]int) {
	scale := 1
	for edge := range options {
		from := cell / scale % len(ops201)
		for _, to := range m[from] {
			options[edge] = append(options[edge], (to-from)*scale)
		}
		scale *= len(ops201)
	}
	return options
}

// Legal201 forbids actions that lead to operations that NAS-Bench-201 does not
// know, as some of NAT++ do.
func Legal201(form cellmap.Form) transformer.Legal {
	return func(edge int, a transformer.Action) bool {
		return slices.Contains(vocabulary201, a.Apply(form.Edges[edge].Op))
	}
}
