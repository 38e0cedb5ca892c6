// Package supernet is the paper's own regime: a supernet whose children share
// weights, a policy that is trained against their accuracy (algorithm 1), and the
// choice among candidates by it (spec sections 1 to 4).
package supernet

import (
	"math/rand/v2"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// A Space is the architectures of a search.
type Space struct {
	Name  string
	Ops   []cellmap.Op // the last one is null
	Nodes int          // intermediate ones of a cell
	// LooseEnds: only nodes that no edge reads are seen at a cell's output.
	LooseEnds bool
	Rules     transformer.Rules
}

// Spaces are the authors' (spec section 1.1), with four nodes.
var Spaces = []Space{
	{"fully-concat", ops("max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5 conv_3x3 null"), 4, false, transformer.NAT},
	{"loose-end", ops("max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 conv_1x1 conv_3x3 conv_5x5 null"), 4, true, transformer.NAT},
	{"nat++", ops("max_pool_3x3 max_pool_5x5 avg_pool_3x3 avg_pool_5x5 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5 " +
		"conv_1x1 conv_3x3 conv_5x5 null"), 4, false, transformer.NATPlusPlus},
}

func ops(names string) (list []cellmap.Op) {
	for _, name := range strings.Fields(names) {
		list = append(list, cellmap.Op(name))
	}
	return list
}

// Draw draws an architecture: for each node two sources and two operations. A share
// of the operations is null, the others are uniform. In the authors' code none is, so
// that a policy knows nothing of what real networks are full of: the paper's
// hand-crafted cells are 38 to 50 % null.
func (s Space) Draw(rng *rand.Rand, nulls float64) cellmap.Genotype {
	return cellmap.Genotype{Normal: s.drawCell(rng, nulls), Reduce: s.drawCell(rng, nulls)}
}

func (s Space) drawCell(rng *rand.Rand, nulls float64) (f cellmap.Form) {
	others := len(s.Ops) - 1
	for to := 2; to < s.Nodes+2; to++ {
		for range 2 {
			op := s.Ops[rng.IntN(others)]
			if rng.Float64() < nulls {
				op = cellmap.Null
			}
			f.Edges = append(f.Edges, cellmap.FormEdge{Op: op, From: rng.IntN(to), To: to})
		}
		f.Concat = append(f.Concat, to)
	}
	return f
}
