package train

import (
	"context"
	"math"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// handRule is a policy that decides by class alone, with certainty.
type handRule func(op cellmap.Op) transformer.Action

func (h handRule) Logits(_ context.Context, form cellmap.Form) ([][transformer.Actions]float64, error) {
	logits := make([][transformer.Actions]float64, len(form.Edges))
	for i, e := range form.Edges {
		logits[i][h(e.Op)] = 1000
	}
	return logits, nil
}

func (h handRule) Card() transformer.Card { return transformer.Card{Rules: "nat"} }

// In the made-up table a skip is better than a pooling and a null, and worse
// than convolutions. Whoever knows captures everything; who does nothing,
// nothing; who removes everything makes all cells but one worse.
func TestEvaluate(t *testing.T) {
	table := madeUpTable(t)
	var cells []int
	for cell := 0; cell < Cells201; cell += 11 {
		cells = append(cells, cell)
	}
	perfect := func(op cellmap.Op) transformer.Action {
		if op == cellmap.Null || op.IsPool() {
			return transformer.ToSkip
		}
		return transformer.Keep
	}
	remove := func(op cellmap.Op) transformer.Action {
		if op == cellmap.Null {
			return transformer.Keep
		}
		return transformer.ToNull
	}
	tests := map[string]struct {
		rule            handRule
		captured, worse float64
	}{
		"perfect": {perfect, 100, 0},
		"idle":    {func(cellmap.Op) transformer.Action { return transformer.Keep }, 0, 0},
		"remover": {remove, math.NaN(), 100 * float64(len(cells)-1) / float64(len(cells))},
	}
	for name, x := range tests {
		scores, err := Evaluate(context.Background(), x.rule, table, &Writings[0], cells, 1)
		if err != nil {
			t.Fatal(err)
		}
		for d, e := range scores {
			if e.Dataset != Dataset(d) || e.Cells != len(cells) {
				t.Errorf("%s: %d cells on %v, want %d on %v", name, e.Cells, e.Dataset, len(cells), Dataset(d))
			}
			for _, o := range []Outcome{e.Max, e.Sampled} {
				if math.Abs(o.Worse-x.worse) > 1e-9 || !math.IsNaN(x.captured) && math.Abs(o.Captured-x.captured) > 1e-9 {
					t.Errorf("%s on %v: captured %v %%, worse %v %%, want %v and %v", name, e.Dataset, o.Captured, o.Worse, x.captured, x.worse)
				}
			}
			// The input is among those that the table ranks.
			if e.Ranked.Worse != 0 || e.Ranked.Accuracy < max(e.Max.Accuracy, e.Input)-1e-9 || e.Ranked.Accuracy > e.Reachable+1e-9 {
				t.Errorf("%s on %v: ranked by the table %+v, of %+v", name, e.Dataset, e.Ranked, e)
			}
			if gone := e.Max.MAdds == 0; gone != (name == "remover") || name == "idle" && math.Abs(e.Max.MAdds-e.MAdds) > 1 {
				t.Errorf("%s: %v multiply-adds of %v", name, e.Max.MAdds, e.MAdds)
			}
		}
	}
}
