package stack_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/internal/oracle"
)

// uniform is the genotype all of whose edges are one operation, from the first
// nodes onwards: edge i of a node comes from node from(i, node).
func uniform(op cellmap.Op, nodes int, from func(slot, node int) int) cellmap.Genotype {
	var f cellmap.Form
	for to := 2; to < nodes+2; to++ {
		for slot := range 2 {
			f.Edges = append(f.Edges, cellmap.FormEdge{Op: op, From: min(from(slot, to), to-1), To: to})
		}
		f.Concat = append(f.Concat, to)
	}
	return cellmap.Genotype{Normal: f, Reduce: f}
}

// The weights of all children together are as many as the authors' supernets have
// (spec section 3).
func TestSupernetsHaveTheAuthorsWeights(t *testing.T) {
	nat := "max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5 conv_3x3 null"
	loose := "max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 conv_1x1 conv_3x3 conv_5x5 null"
	natPlusPlus := "max_pool_3x3 max_pool_5x5 avg_pool_3x3 avg_pool_5x5 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5 " +
		"conv_1x1 conv_3x3 conv_5x5 null"
	for _, x := range []struct {
		ops   string
		nodes int
		want  int
	}{
		{nat, 4, 5997350}, {loose, 4, 14139750}, {loose, 5, 20159350}, {natPlusPlus, 4, 15024550}, {natPlusPlus, 5, 21423350},
	} {
		s := stack.Supernet{Channels: 20, Layers: 8, Classes: 10, Size: 32}
		values := map[string][]byte{}
		params := 0
		for _, op := range strings.Fields(x.ops) {
			for source := range x.nodes + 1 {
				m, err := s.Child(uniform(cellmap.Op(op), x.nodes, func(slot, _ int) int { return source }), "child.onnx", nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, w := range m.Graph.Initializers {
					raw, err := w.Raw()
					if err != nil {
						t.Fatal(err)
					}
					if old, ok := values[w.Name]; ok {
						if !bytes.Equal(old, raw) {
							t.Fatalf("%s has other values in another child", w.Name)
						}
						continue
					}
					values[w.Name] = raw
					if learnt := strings.HasSuffix(w.Name, ".weight") || strings.HasSuffix(w.Name, ".bias"); learnt && !strings.HasPrefix(w.Name, "plain.") {
						params += len(raw) / 4
					}
				}
			}
		}
		if params != x.want {
			t.Errorf("%d nodes, %s: %d parameters, want %d", x.nodes, x.ops, params, x.want)
		}
	}
}

// Children are valid networks, with any nulls, equal edges, loose ends and output nodes.
func TestChildrenAreValid(t *testing.T) {
	for _, name := range []string{"R1", "NAT_R2", "VGG", "NATv2_ENAS"} { // the last two concatenate some nodes
		for _, loose := range []bool{false, true} {
			s := stack.Supernet{Channels: 4, Layers: 4, Classes: 3, Size: 8, LooseEnds: loose}
			path := filepath.Join(t.TempDir(), "child.onnx")
			m, err := s.Child(genotype(t, name), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Save(t.Context(), path); err != nil {
				t.Fatal(err)
			}
			oracle.Check(t, path)
			zeros := 0
			for _, n := range m.Graph.Nodes {
				if n.OpType == "Mul" {
					zeros++
				}
			}
			if (zeros > 0) != (loose || name != "R1") {
				t.Errorf("%s, loose ends %v: %d zeros", name, loose, zeros)
			}
		}
	}
}
