package train

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

func someForms(step int) (forms []cellmap.Form) {
	for cell := 0; cell < Cells201; cell += step {
		forms = append(forms, Form201(cell))
	}
	return forms
}

// A small network learns the made-up table's rule, which it can only know by
// seeing the operations: a pooling and a null become skips, convolutions stay.
func TestReinforceLearns(t *testing.T) {
	table := madeUpTable(t)
	params, err := Reinforce(t.Context(), someForms(7), TableReward{Table: table}, Options{
		Seed: 1, Steps: 150, Batch: 32, Rate: 0.02, Network: GCN(8, 8, 2),
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err := transformer.NewGCN(transformer.Card{Rules: transformer.NAT.Name}, params)
	if err != nil {
		t.Fatal(err)
	}
	var cells []int
	for cell := 3; cell < Cells201; cell += 101 {
		cells = append(cells, cell)
	}
	scores, err := Evaluate(t.Context(), g, table, &Writings[0], cells, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := scores[CIFAR10].Max.Captured; got < 95 {
		t.Errorf("captured %.1f %% of the headroom of a simple rule, want at least 95", got)
	}
}

func TestReinforceRepeats(t *testing.T) {
	table := madeUpTable(t)
	run := func(seed uint64, samples int) ([]transformer.Param, []Progress) {
		var reports []Progress
		o := Options{Seed: seed, Steps: 7, Batch: 8, Samples: samples, Network: GCN(4, 5, 2), Every: 3, Report: func(p Progress) error {
			p.trainer = nil
			reports = append(reports, p)
			return nil
		}}
		params, err := Reinforce(t.Context(), someForms(301), TableReward{Table: table}, o)
		if err != nil {
			t.Fatal(err)
		}
		return params, reports
	}
	for _, samples := range []int{1, 4} {
		params, reports := run(5, samples)
		again, reportsAgain := run(5, samples)
		if !reflect.DeepEqual(params, again) || !reflect.DeepEqual(reports, reportsAgain) {
			t.Errorf("%d samples: the same seed gave another training", samples)
		}
		if other, _ := run(6, samples); reflect.DeepEqual(params, other) {
			t.Errorf("%d samples: another seed gave the same training", samples)
		}
		var steps []int
		for _, r := range reports {
			steps = append(steps, r.Step)
		}
		if !reflect.DeepEqual(steps, []int{3, 6, 7}) {
			t.Errorf("reports after steps %v, want 3, 6, 7", steps)
		}
	}
}

// A training that goes on from a state, through a file, ends with the weights of
// one that was not stopped, to the bit.
func TestReinforceResumes(t *testing.T) {
	forms := someForms(301)
	for cell := 0; cell < Cells201; cell += 301 {
		forms = append(forms, Writings[1].Form(cell))
	}
	for _, published := range []bool{false, true} {
		var file bytes.Buffer
		o := Options{Seed: 5, Steps: 9, Batch: 8, Samples: 2, Network: GCN(4, 5, 2), MaxCost: 0.5, Published: published, Every: 5, Report: func(p Progress) error {
			if p.Step < 9 {
				return gob.NewEncoder(&file).Encode(p.State())
			}
			return nil
		}}
		want, err := Reinforce(t.Context(), forms, TableReward{Table: madeUpTable(t)}, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Resume, o.Report = &State{}, nil
		if err := gob.NewDecoder(&file).Decode(o.Resume); err != nil {
			t.Fatal(err)
		}
		if o.Resume.Step != 5 {
			t.Fatalf("the state is of step %d, want 5", o.Resume.Step)
		}
		got, err := Reinforce(t.Context(), forms, TableReward{Table: madeUpTable(t)}, o)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Error("going on gave other weights than not stopping")
		}
	}
}

// Under a bound, the price of cost rises until the transformations keep it.
// Without one, no convolution of the made-up table is worth going.
func TestReinforceKeepsABound(t *testing.T) {
	table := madeUpTable(t)
	cost := func(bound float64) (last float64) {
		_, err := Reinforce(t.Context(), someForms(7), TableReward{Table: table}, Options{
			Seed: 1, Steps: 800, Batch: 16, Rate: 0.02, Network: GCN(8, 8, 2), MaxCost: bound, Every: 50,
			Report: func(p Progress) error { last = p.Cost; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return last
	}
	if free, bound := cost(10), cost(0.4); free < 0.8 || bound > 0.45 {
		t.Errorf("costs %.2f of the inputs' without a bound and %.2f with one of 0.4", free, bound)
	}
}

type brokenReward struct{ err error }

func (b brokenReward) Reward(context.Context, cellmap.Form, cellmap.Form) (float64, error) {
	return 0, b.err
}

func (b brokenReward) Cost(cellmap.Form) (float64, error) { return 0, b.err }

func (b brokenReward) Legal(cellmap.Form) transformer.Legal { return nil }

func TestReinforceRefuses(t *testing.T) {
	broken := errors.New("no such network")
	other := someForms(301)
	other[2].Edges[5].From = 1
	bad := someForms(301)
	bad[1].Edges[5].Op = "softmax"
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	small := Options{Steps: 1, Batch: 2, Network: GCN(2, 2, 2)}
	tests := map[string]struct {
		ctx    context.Context
		inputs []cellmap.Form
		change func(*Options)
		want   string
	}{
		"topologies": {t.Context(), other, nil, "batch of 2 cells, want 1 to the 1 there are"},
		"operation":  {t.Context(), bad, nil, "input 1: edge 5"},
		"no input":   {t.Context(), nil, nil, "no inputs"},
		"batch":      {t.Context(), someForms(301), func(o *Options) { o.Batch = 1000 }, "batch of 1000 cells"},
		"steps":      {t.Context(), someForms(301), func(o *Options) { o.Steps = -1 }, "steps -1"},
		"rate":       {t.Context(), someForms(301), func(o *Options) { o.Rate = math.NaN() }, "rate NaN"},
		"reward":     {t.Context(), someForms(301), nil, broken.Error()},
		"cancelled":  {cancelled, someForms(301), nil, context.Canceled.Error()},
	}
	for name, x := range tests {
		o := small
		if x.change != nil {
			x.change(&o)
		}
		if _, err := Reinforce(x.ctx, x.inputs, brokenReward{broken}, o); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, x.want)
		}
	}
}

// The moving baseline settles at the reward, not at half of it as in the
// authors' code.
func TestBaselineFollowsTheReward(t *testing.T) {
	tr := &trainer{}
	var last []float64
	for range 2000 {
		last = tr.advantages([]float64{0.1})
	}
	if math.Abs(tr.Baseline-0.1) > 1e-6 || math.Abs(last[0]) > 1e-6 {
		t.Errorf("constant reward 0.1: baseline %v, advantage %v, want 0.1 and 0", tr.Baseline, last[0])
	}
}

// Of several samples, each is compared with the others, whatever the scale; but
// differences that are noise stay small.
func TestAdvantagesOfSamples(t *testing.T) {
	for _, scale := range []float64{1, 0.01, 1e-5} {
		got := new(trainer).advantages([]float64{1 * scale, 2 * scale, 6 * scale})
		deviation := scale * math.Sqrt((4+1+9)/3.)
		for i, want := range []float64{1 - 4, 2 - 3.5, 6 - 1.5} { // minus the mean of the other two
			if want *= scale / (deviation + 0.003); math.Abs(got[i]-want) > 1e-12 {
				t.Errorf("scale %v: advantages %v, want %v at %d", scale, got, want, i)
			}
		}
		if got := math.Abs(got[0]); scale >= 0.01 != (got > 1) {
			t.Errorf("scale %v: an advantage of size %v", scale, got)
		}
	}
}
