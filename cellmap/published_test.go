package cellmap_test

import (
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/corpus"
)

// The catalogue is what the authors published.
func TestPublishedGenotypes(t *testing.T) {
	all := corpus.AllGenotypes(t)
	names := cellmap.PublishedNames()
	if len(names) != len(all) {
		t.Errorf("%d genotypes, %d were published", len(names), len(all))
	}
	for _, name := range names {
		g, ok := cellmap.PublishedGenotype(name)
		if !ok {
			t.Errorf("%s cannot be read", name)
		}
		want := all[name]
		for _, cell := range []struct {
			form   cellmap.Form
			tuples []corpus.Tuple
			concat []int
		}{{g.Normal, want.Normal, want.NormalConcat}, {g.Reduce, want.Reduce, want.ReduceConcat}} {
			wanted := cellmap.Form{Concat: cell.concat}
			for _, e := range cell.tuples {
				wanted.Edges = append(wanted.Edges, cellmap.FormEdge{Op: cellmap.Op(e.Op), From: e.From, To: e.To})
			}
			if !cell.form.Equal(wanted) {
				t.Errorf("%s: %v, want %v", name, cell.form, wanted)
			}
		}
	}
	if _, ok := cellmap.PublishedGenotype("NAT"); ok {
		t.Error("there is a genotype NAT")
	}
}
