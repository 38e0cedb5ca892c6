package policybench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/transformer"
)

// A sure policy decides by the operation alone.
type sure func(op cellmap.Op) transformer.Action

func (s sure) Logits(_ context.Context, form cellmap.Form) ([][transformer.Actions]float64, error) {
	logits := make([][transformer.Actions]float64, len(form.Edges))
	for i, e := range form.Edges {
		logits[i][s(e.Op)] = 30
	}
	return logits, nil
}

func (sure) Card() transformer.Card { return transformer.Card{Name: "sure", Rules: "nat"} }

// best is the best policy for the separable table.
var best = sure(func(op cellmap.Op) transformer.Action {
	if op == cellmap.Null || op.IsPool() {
		return transformer.ToSkip
	}
	return transformer.Keep
})

// A school counts its trainings.
type school struct {
	mu    sync.Mutex
	seeds []uint64
}

func (s *school) learn(ctx context.Context, o train.LearnOptions) (*train.Learnt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds = append(s.seeds, o.Seed)
	p := train.CurvePoint{Step: o.Steps, Accuracy: 50, Captured: 90 + float64(o.Seed)}
	if err := o.Report(&train.LearnState{Curve: []train.CurvePoint{p}}); err != nil {
		return nil, err
	}
	return &train.Learnt{Policy: best, Curve: []train.CurvePoint{{Step: 1, Captured: -3}, p}, StepTime: time.Millisecond}, nil
}

func find(t *testing.T, r *Result, label string) *Row {
	t.Helper()
	for i := range r.Rows {
		if r.Rows[i].Label() == label {
			return &r.Rows[i]
		}
	}
	t.Fatalf("no row %q", label)
	return nil
}

func TestRun(t *testing.T) {
	s := &school{}
	var last Progress
	o := Options{
		Table: separable(t), Rules: transformer.NAT, Policies: []Policy{{"given", best}}, Kinds: []train.Kind{train.KindGCN},
		Learn: s.learn, Steps: 7, Seed: 3, Seeds: 2, Keep: filepath.Join(t.TempDir(), "kept"),
		Progress: func(p Progress) {
			if p.Kind != "" {
				last = p
			}
		},
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != 14 || last.Of != 14 || last.Captured != 90+float64(last.Seed) {
		t.Errorf("the last progress is %+v", last)
	}
	none := find(t, r, "none")
	for label, want := range map[string]struct{ captured, lookUps float64 }{
		"none": {0, 0}, "given, most probable": {100, 0}, "gcn, best of 10 samples": {100, 0}, "given, top 10 ranked": {100, 10},
		"gcn, 10 samples ranked": {100, 10}, "greedy, to the end": {100, math.NaN()},
	} {
		row := find(t, r, label)
		for d, s := range row.On {
			if math.Abs(s.Captured.Mean-want.captured) > 0.01 || s.Worse.Mean > 0.01 || s.Dataset != train.Dataset(d).String() {
				t.Errorf("%s on %s: captures %v %%, makes %v %% worse, want %v and 0", label, s.Dataset, s.Captured.Mean, s.Worse.Mean, want.captured)
			}
			if want.captured == 100 && math.Abs(s.Accuracy.Mean-r.Reachable[d]) > 0.01 {
				t.Errorf("%s on %s: accuracy %v, best reachable %v", label, s.Dataset, s.Accuracy.Mean, r.Reachable[d])
			}
		}
		if row.LookUps.Mean != want.lookUps && !math.IsNaN(want.lookUps) {
			t.Errorf("%s: %v look-ups, want %v", label, row.LookUps.Mean, want.lookUps)
		}
		if row.Trained != strings.HasPrefix(label, "gcn") || row.Latency != nil {
			t.Errorf("%s: %+v", label, row)
		}
		if x := row.MAdds.Mean / none.MAdds.Mean * 100; math.Abs(x-row.MAddsShare.Mean) > 1e-9 {
			t.Errorf("%s: multiply-adds %v %%, want %v %%", label, row.MAddsShare.Mean, x)
		}
	}
	if row := find(t, r, "random"); row.On[0].Captured.Mean > -50 || row.On[0].Worse.HalfWidth == nil || row.On[0].Worse.Runs != 2 {
		t.Errorf("random: %+v", row.On[0])
	}
	for i, row := range r.Rows {
		if i > 0 && row.LookUps.Mean == 0 && r.Rows[i-1].LookUps.Mean > 0 {
			t.Errorf("row %s comes after one with look-ups", row.Label())
		}
	}
	c := r.Curves[0]
	if c.Kind != train.KindGCN || c.Seeds != 2 || len(c.Points) != 2 || c.Points[1].Step != 7 || c.Points[1].Captured.Mean != 93.5 || c.Points[1].Lowest != 93 || c.Points[1].Highest != 94 {
		t.Errorf("curve %+v", c)
	}

	// The next run finds what was kept, and trains what is not there yet.
	o.Seeds = 3
	again, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(s.seeds)
	if want := []uint64{3, 4, 5}; !reflect.DeepEqual(s.seeds, want) {
		t.Errorf("trained with the seeds %v, want %v", s.seeds, want)
	}
	for i, f := range again.Trainings {
		if f.Reused != (i < 2) || f.StepMS != 1 || f.Seed != 3+uint64(i) {
			t.Errorf("training %d: %+v", i, f)
		}
	}
	if x := find(t, again, "gcn, most probable"); x.On[0].Captured.Mean != find(t, r, "gcn, most probable").On[0].Captured.Mean || x.On[0].Captured.Runs != 3 {
		t.Errorf("reused: %+v", x.On[0])
	}

	// Other conditions are other files; a file that was tampered with is refused.
	o.Steps, o.Seeds = 8, 1
	if _, err := Run(t.Context(), o); err != nil || len(s.seeds) != 4 {
		t.Errorf("other steps: %v, trained %v", err, s.seeds)
	}
	files, err := filepath.Glob(filepath.Join(o.Keep, "gcn-nat-8-steps-seed-3-*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("kept %v, %v", files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string][2]string{
		"cut":    {string(whole[len(whole)/2:]), ""},
		"seed":   {`"seed":3`, `"seed":9`},
		"format": {`"natonnx_policy_bench_training":2`, `"natonnx_policy_bench_training":3`},
		"cell":   {`"after":[`, `"after":[15625,`},
		"many":   {`"after":[`, `"after":[1,`},
		"none":   {`"decisions":[`, `"decisions":[],"others":[`},
	} {
		bad := strings.Replace(string(whole), x[0], x[1], 1)
		if bad == string(whole) {
			t.Fatalf("%s: nothing changed", name)
		}
		if err := os.WriteFile(files[0], []byte(bad), 0o666); err != nil {
			t.Fatal(err)
		}
		var kept *KeptError
		if _, err := Run(t.Context(), o); !errors.As(err, &kept) || kept.File != files[0] {
			t.Errorf("%s: error %v, want one that names %s", name, err, files[0])
		}
	}
}

func TestRunIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{
		Table: separable(t), Rules: transformer.NAT, Kinds: []train.Kind{train.KindGCN}, Learn: (&school{}).learn, Steps: 1, Seeds: 2,
		Progress: func(Progress) { cancel() },
	}
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	o.Kinds = nil
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("without trainings: error %v, want %v", err, context.Canceled)
	}
}

// NAT++ reaches more, and knows what the table does not.
func TestRunPlusPlus(t *testing.T) {
	r, err := Run(t.Context(), Options{Table: separable(t), Rules: transformer.NATPlusPlus, Policies: []Policy{{"plus", plus{best}}}, Seeds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if row := find(t, r, "plus, most probable"); math.Abs(row.On[0].Captured.Mean-100) > 0.01 || row.On[0].Captured.HalfWidth != nil {
		t.Errorf("%+v", row.On[0])
	}
	nat, err := Run(t.Context(), Options{Table: separable(t), Rules: transformer.NAT, Seeds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := find(t, r, "exhaustive search"), find(t, nat, "exhaustive search"); a.LookUps.Mean <= b.LookUps.Mean {
		t.Errorf("NAT++ has %v candidates, NAT %v", a.LookUps.Mean, b.LookUps.Mean)
	}
}

type plus struct{ sure }

func (plus) Card() transformer.Card { return transformer.Card{Name: "plus", Rules: "nat++"} }

// Of the input and its nine most probable transformations, the best by the table
// captures 98 % of the headroom on cells that the built-in policy never saw, and
// none of them becomes worse.
func TestBuiltinWithTheTableAsRanker(t *testing.T) {
	table, err := train.OpenTable(corpus.Need(t, "nas", "nasbench201_200ep_test.csv"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := transformer.Builtin(transformer.DefaultPolicy)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{Table: table, Rules: transformer.NAT, Policies: []Policy{{"nat-gcn", g}}, Seeds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if s := find(t, r, "nat-gcn, top 10 ranked").On[train.CIFAR10]; s.Captured.Mean < 98 || s.Worse.Mean != 0 {
		t.Errorf("captures %v %%, makes %v %% worse", s.Captured.Mean, s.Worse.Mean)
	}
	exhaustive := find(t, r, "exhaustive search").On[train.CIFAR10].Captured.Mean
	for _, row := range r.Rows {
		if x := row.On[train.CIFAR10].Captured.Mean; x > exhaustive+1e-9 || exhaustive < 100-1e-9 {
			t.Errorf("%s captures %v %%, looking everything up %v %%", row.Label(), x, exhaustive)
		}
	}
}

// Quantiles of Student's distribution as every table of it has them.
func TestStudent(t *testing.T) {
	for freedom, want := range map[float64]float64{1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 29: 2.045, 120: 1.980} {
		if got := student(freedom); math.Abs(got-want) > 6e-4 {
			t.Errorf("%v degrees of freedom: %v, want %v", freedom, got, want)
		}
	}
	e := estimate([]float64{1, 2, 3, 4, 5})
	if want := 2.776 * math.Sqrt(2.5/5); e.Mean != 3 || e.Runs != 5 || math.Abs(*e.HalfWidth-want) > 1e-3 {
		t.Errorf("%v ± %v of %d, want 3 ± %v of 5", e.Mean, *e.HalfWidth, e.Runs, want)
	}
	if e := estimate([]float64{7}); e.Mean != 7 || e.HalfWidth != nil {
		t.Errorf("one run: %+v", e)
	}
}

func TestWriteCurves(t *testing.T) {
	points := func(list ...float64) (out []CurvePoint) {
		for i, x := range list {
			out = append(out, CurvePoint{Step: 500 * (i + 1), Captured: Estimate{Mean: x}, Lowest: x - 3, Highest: x + 2})
		}
		return out
	}
	for name, curves := range map[string][]Curve{
		"three":    {{"gcn", 5, points(60, 80, 90)}, {"gcn-published", 5, points(-400, -20, 10)}, {"lstm", 5, points(30, 50, 55)}},
		"one":      {{"gcn", 1, points(60)}},
		"flat":     {{"gcn", 1, []CurvePoint{{Step: 1}, {Step: 2}}}},
		"nothing":  {{"gcn", 2, nil}},
		"hopeless": {{"gcn", 2, points(-400, -300)}},
	} {
		var b bytes.Buffer
		if err := WriteCurves(&b, curves); err != nil {
			t.Fatal(err)
		}
		svg := b.String()
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, "%!") {
			t.Errorf("%s: %s", name, svg)
		}
		text := ""
		for d := xml.NewDecoder(&b); ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if chars, ok := token.(xml.CharData); ok {
				text += string(chars)
			}
		}
		for _, c := range curves {
			if !strings.Contains(text, string(c.Kind)) {
				t.Errorf("%s: no %s in the legend", name, c.Kind)
			}
		}
		if !strings.Contains(text, "captured headroom, %") || !strings.Contains(text, "updates of the weights") {
			t.Errorf("%s: the axes have no titles", name)
		}
	}
}

func TestResultIsJSON(t *testing.T) {
	r, err := Run(t.Context(), Options{Table: separable(t), Rules: transformer.NAT, Seeds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}
