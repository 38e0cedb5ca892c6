package transformer

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
)

func randomGCN(t testing.TB, seed uint64, embed, hidden int) *GCN {
	t.Helper()
	return randomGCNOf(t, NAT, seed, embed, hidden)
}

func randomGCNOf(t testing.TB, rules Rules, seed uint64, embed, hidden int) *GCN {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	params := GCNParams(rules, embed, hidden, 2)
	for i, p := range params {
		params[i].Data = make([]float64, p.Rows*p.Cols)
		for j := range params[i].Data {
			// Exact in float32, so that a file can hold them.
			params[i].Data[j] = float64(float32(rng.NormFloat64() / math.Sqrt(float64(p.Rows))))
		}
	}
	g, err := NewGCN(Card{Name: "random", Kind: "gcn", Rules: rules.Name, Seed: seed}, params)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func logitsOf(t testing.TB, p Policy, form cellmap.Form) [][Actions]float64 {
	t.Helper()
	logits, err := p.Logits(context.Background(), form)
	if err != nil {
		t.Fatal(err)
	}
	if len(logits) != len(form.Edges) {
		t.Fatalf("%d rows of logits for %d edges", len(logits), len(form.Edges))
	}
	return logits
}

func differ(a, b [Actions]float64) (d float64) {
	for i := range a {
		d = max(d, math.Abs(a[i]-b[i]))
	}
	return d
}

// In the authors' code no node's decision depends on the operations it edits.
// Here each edge's must depend on its own operation, on that of the other edge
// of its node, and on some of the rest of the cell.
func TestDecisionsSeeTheOperations(t *testing.T) {
	g := randomGCN(t, 1, 8, 12)
	form := mixedForm
	before := logitsOf(t, g, form)
	for i := range form.Edges {
		changed := form
		changed.Edges = append([]cellmap.FormEdge(nil), form.Edges...)
		changed.Edges[i].Op = "avg_pool_3x3"
		if form.Edges[i].Op == "avg_pool_3x3" {
			changed.Edges[i].Op = cellmap.Null
		}
		after := logitsOf(t, g, changed)
		if differ(before[i], after[i]) < 1e-6 {
			t.Errorf("edge %d does not see its own operation", i)
		}
		if differ(before[i^1], after[i^1]) < 1e-6 {
			t.Errorf("edge %d does not see the other edge of its node", i^1)
		}
	}
}

func TestOrderOfEdgesHasNoMeaning(t *testing.T) {
	g := randomGCN(t, 2, 8, 12)
	want := logitsOf(t, g, mixedForm)
	swapped := cellmap.Form{Concat: mixedForm.Concat}
	for i := range mixedForm.Edges {
		swapped.Edges = append(swapped.Edges, mixedForm.Edges[i^1])
	}
	for i, row := range logitsOf(t, g, swapped) {
		if differ(row, want[i^1]) > 1e-12 {
			t.Errorf("edge %d has logits %v in the other slot, %v before", i^1, row, want[i^1])
		}
	}
}

// Nodes 2 and 3 of the form do not depend on each other: exchanging their
// numbers exchanges their decisions and changes nothing else.
func TestNumbersOfNodesHaveNoMeaning(t *testing.T) {
	edge := func(op cellmap.Op, from, to int) cellmap.FormEdge {
		return cellmap.FormEdge{Op: op, From: from, To: to}
	}
	a := cellmap.Form{Edges: []cellmap.FormEdge{
		edge("conv_3x3", 0, 2), edge(cellmap.Skip, 1, 2),
		edge("conv_1x1", 1, 3), edge(cellmap.Null, 0, 3),
		edge(cellmap.Skip, 2, 4), edge("avg_pool_3x3", 3, 4),
	}}
	b := cellmap.Form{Edges: []cellmap.FormEdge{
		edge("conv_1x1", 1, 2), edge(cellmap.Null, 0, 2),
		edge("conv_3x3", 0, 3), edge(cellmap.Skip, 1, 3),
		edge(cellmap.Skip, 3, 4), edge("avg_pool_3x3", 2, 4),
	}}
	g := randomGCN(t, 3, 8, 12)
	la, lb := logitsOf(t, g, a), logitsOf(t, g, b)
	for i, j := range []int{2, 3, 0, 1, 4, 5} {
		if differ(la[i], lb[j]) > 1e-12 {
			t.Errorf("edge %d: %v, renumbered %v", i, la[i], lb[j])
		}
	}
}

func TestNearestOperation(t *testing.T) {
	tests := []struct{ op, like cellmap.Op }{
		{"conv_5x5", "conv_3x3"}, {"conv_7x7", "conv_3x3"}, {"conv_1x7", "conv_3x3"},
		{"dw_conv_3x3", "conv_3x3"}, {"sep_conv_5x5", "conv_3x3"}, {"dil_conv_3x3", "conv_3x3"},
		{"dw_conv_1x1", "conv_1x1"}, {"max_pool_2x2", "avg_pool_3x3"}, {"avg_pool_5x5", "avg_pool_3x3"},
	}
	for _, x := range tests {
		got, err := vocabularyRow(x.op)
		want, err2 := vocabularyRow(x.like)
		if err != nil || err2 != nil || got != want {
			t.Errorf("%s is row %d (%v), want row %d of %s (%v)", x.op, got, err, want, x.like, err2)
		}
	}
	for i, op := range Vocabulary() {
		if row, err := vocabularyRow(op); row != i || err != nil {
			t.Errorf("%s is row %d (%v), want %d", op, row, err, i)
		}
	}
}

func TestLogitsOfBadForms(t *testing.T) {
	g := randomGCN(t, 4, 4, 4)
	skip := func(from, to int) cellmap.FormEdge {
		return cellmap.FormEdge{Op: cellmap.Skip, From: from, To: to}
	}
	tests := map[string]struct {
		edges []cellmap.FormEdge
		want  string
	}{
		"empty":      {nil, "0 edges"},
		"odd":        {[]cellmap.FormEdge{skip(0, 2)}, "1 edges"},
		"backwards":  {[]cellmap.FormEdge{skip(0, 2), skip(2, 2)}, "edge 1 leads from node 2 to node 2"},
		"negative":   {[]cellmap.FormEdge{skip(-1, 2), skip(0, 2)}, "edge 0 leads from node -1"},
		"disordered": {[]cellmap.FormEdge{skip(0, 3), skip(0, 3)}, "want to node 2"},
		"operation":  {[]cellmap.FormEdge{skip(0, 2), {Op: "softmax", From: 1, To: 2}}, `"softmax"`},
		"huge":       {make([]cellmap.FormEdge, 1<<20), "want two for each of 1 to"},
	}
	for name, x := range tests {
		if _, err := g.Logits(context.Background(), cellmap.Form{Edges: x.edges}); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, x.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.Logits(ctx, vggForm); err != context.Canceled {
		t.Errorf("cancelled: error %v", err)
	}
}

// Any number of nodes, from many goroutines at once, always the same numbers.
func TestLogitsConcurrently(t *testing.T) {
	g := randomGCN(t, 5, 8, 12)
	rng := rand.New(rand.NewPCG(5, 5))
	var wg sync.WaitGroup
	for nodes := 1; nodes <= 40; nodes += 3 {
		var form cellmap.Form
		for i := range 2 * nodes {
			form.Edges = append(form.Edges, cellmap.FormEdge{Op: vocabulary[rng.IntN(5)], From: rng.IntN(i/2 + 2), To: i/2 + 2})
		}
		want := logitsOf(t, g, form)
		for range 4 {
			wg.Go(func() {
				got, err := g.Logits(context.Background(), form)
				for i := range want {
					if err != nil || got[i] != want[i] {
						t.Errorf("%d nodes: edge %d is %v, then %v (%v)", nodes, i, want[i], got[i], err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestNewGCNRefuses(t *testing.T) {
	tests := map[string]struct {
		change func([]Param) []Param
		want   string
	}{
		"none":    {func([]Param) []Param { return nil }, "want the weights of a GCN"},
		"missing": {func(p []Param) []Param { return p[:len(p)-1] }, "weights, want"},
		"name":    {func(p []Param) []Param { p[4].Name = "x"; return p }, `"x"`},
		"shape":   {func(p []Param) []Param { p[4].Rows++; return p }, `"conv1.out" is 5x6`},
		"short":   {func(p []Param) []Param { p[4].Data = p[4].Data[1:]; return p }, "with 23 numbers"},
		"nan":     {func(p []Param) []Param { p[4].Data[7] = math.NaN(); return p }, "NaN at row 1, column 1"},
	}
	for name, x := range tests {
		params := append([]Param(nil), randomGCN(t, 6, 4, 6).Params()...)
		if _, err := NewGCN(Card{Rules: "nat"}, x.change(params)); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, x.want)
		}
	}
}

// The built-in policy's decision on one cell.
func BenchmarkDecision(b *testing.B) {
	g, err := Builtin(DefaultPolicy)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		logits, err := g.Logits(b.Context(), mixedForm)
		if err != nil {
			b.Fatal(err)
		}
		Best(logits, NAT, mixedForm, nil)
	}
}
