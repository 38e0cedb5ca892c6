package transformer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/transformer"
)

// fixed is a policy that looks at the class of an operation alone.
type fixed map[cellmap.Class][transformer.Actions]float64

func (f fixed) Logits(_ context.Context, form cellmap.Form) ([][transformer.Actions]float64, error) {
	out := make([][transformer.Actions]float64, len(form.Edges))
	for i, e := range form.Edges {
		out[i] = f[e.Op.Class()]
	}
	return out, nil
}

func (fixed) Card() transformer.Card { return transformer.Card{Name: "fixed"} }

// wants makes a policy that all but surely takes one action on a class.
func wants(class cellmap.Class, a transformer.Action) fixed {
	f := fixed{}
	for _, c := range []cellmap.Class{cellmap.ClassNull, cellmap.ClassSkip, cellmap.ClassOther} {
		logits := [transformer.Actions]float64{}
		logits[transformer.Keep] = 20
		if c == class {
			logits[transformer.Keep], logits[a] = 0, 20
		}
		f[c] = logits
	}
	return f
}

func resnet20(t *testing.T) *cellmap.Map {
	t.Helper()
	m, err := fixtures.Build("resnet20", fixtures.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cellmap.Lift(m)
}

func choose(t *testing.T, m *cellmap.Map, opt transformer.Options) *transformer.Plan {
	t.Helper()
	opt.Rules, opt.Samples = transformer.NAT, 10
	p, err := transformer.Choose(context.Background(), m, opt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestChooseFillsPaddingWhereShapesFit(t *testing.T) {
	m := resnet20(t)
	p := choose(t, m, transformer.Options{Policy: wants(cellmap.ClassNull, transformer.ToSkip)})
	// Three padding edges per cell. In the cell behind a projection node 0 has
	// half the channels; in a cell with one, the resolution changes behind the
	// first node. In the first cell both inputs are one value.
	perCell := map[string]int{}
	for _, move := range p.Moves {
		if move.Old().Op != cellmap.Null || move.To != cellmap.Skip {
			t.Errorf("%v is not N->S", move)
		}
		perCell[move.Cell.Name]++
	}
	want := map[string]int{"layer1.0": 2, "layer1.1": 3, "layer1.2": 3, "layer2.0": 1, "layer2.2": 3, "layer3.0": 1, "layer3.2": 3}
	if fmt.Sprint(perCell) != fmt.Sprint(want) {
		t.Errorf("moves per cell %v, want %v", perCell, want)
	}
	if len(p.Moves)+len(p.Refused) != 27 {
		t.Errorf("%d moves and %d refusals, want 27 together", len(p.Moves), len(p.Refused))
	}
	for _, r := range p.Refused {
		if !strings.Contains(r.Reason, "projection") && (r.Cell.Index > 0 || !strings.Contains(r.Reason, "added to itself")) {
			t.Errorf("refused %v for %q", r.Move, r.Reason)
		}
	}
	if p.After.MAdds != p.Before.MAdds || p.Destructive(cellmap.ZeroGate) || !p.Destructive(cellmap.IdentitySkip) {
		t.Errorf("multiply-adds %d -> %d, destructive %v and %v", p.Before.MAdds, p.After.MAdds,
			p.Destructive(cellmap.ZeroGate), p.Destructive(cellmap.IdentitySkip))
	}
}

func TestChooseKeepsTheInputWhenThePolicyDoes(t *testing.T) {
	m := resnet20(t)
	p := choose(t, m, transformer.Options{Policy: wants(cellmap.ClassNull, transformer.Keep)})
	if len(p.Moves) != 0 || p.Result != m.Model {
		t.Errorf("%d moves, want none and the model itself", len(p.Moves))
	}
}

func TestChooseKeepsBounds(t *testing.T) {
	m := resnet20(t)
	full := choose(t, m, transformer.Options{}).Before
	policy := wants(cellmap.ClassOther, transformer.Keep) // which by itself saves nothing
	for _, share := range []float64{0.95, 0.7, 0.4} {
		bound := int64(share * float64(full.MAdds))
		opt := transformer.Options{Policy: policy, PerCell: true, MaxMAdds: bound, Rules: transformer.NAT, Samples: 10}
		p, err := transformer.Choose(context.Background(), m, opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Result.Cost(p.Result.Infer()).MAdds; got > bound || got != p.After.MAdds {
			t.Errorf("%d multiply-adds (reported %d), want at most %d", got, p.After.MAdds, bound)
		}
		if slack := float64(bound-p.After.MAdds) / float64(full.MAdds); slack > 0.15 {
			t.Errorf("%.0f %% of the multiply-adds allowed, %.0f %% more were given up", 100*share, 100*slack)
		}
	}
	_, err := transformer.Choose(context.Background(), m, transformer.Options{Policy: policy, MaxMAdds: 1, Rules: transformer.NAT, Samples: 10})
	if !errors.Is(err, transformer.ErrBounds) {
		t.Errorf("an impossible bound gives %v, want ErrBounds", err)
	}
}

// Under a bound, a policy that would keep everything gives way to kinds that cost
// less: what a move saves is net of what it brings, so that all savings together
// are what the network saves.
func TestChooseLeadsToCheaperKinds(t *testing.T) {
	m := resnet20(t)
	full := transformer.Options{Rules: transformer.NATPlusPlus}
	before, err := transformer.Choose(context.Background(), m, full)
	if err != nil {
		t.Fatal(err)
	}
	logits := [transformer.Actions]float64{transformer.ToNull: -9, transformer.Keep: 9, transformer.ToSkip: -9}
	policy := fixed{cellmap.ClassOther: logits, cellmap.ClassSkip: logits, cellmap.ClassNull: logits}
	for _, perCell := range []bool{false, true} {
		for _, bound := range []transformer.Options{{MaxMAdds: before.Before.MAdds * 7 / 10}, {MaxParams: before.Before.Params / 2}} {
			bound.Policy, bound.Rules, bound.Samples, bound.PerCell = policy, transformer.NATPlusPlus, 10, perCell
			p, err := transformer.Choose(context.Background(), m, bound)
			if err != nil {
				t.Fatal(err)
			}
			var madds, params int64
			kinds := 0
			for _, move := range p.Moves {
				madds, params = madds+move.MAdds, params+move.Params
				if move.To.Class() == cellmap.ClassOther {
					kinds++
				}
				if inherits := move.To.Class() == cellmap.ClassOther && !move.To.IsPool(); inherits != (move.Inherited != nil) {
					t.Errorf("%v: inherited %v", move.Move, move.Inherited)
				}
			}
			if kinds < len(p.Moves) || kinds == 0 {
				t.Errorf("%d of %d moves lead to cheaper kinds, want all: the policy likes skips and nulls less", kinds, len(p.Moves))
			}
			if p.Before.MAdds-p.After.MAdds != madds || p.Before.Params-p.After.Params != params {
				t.Errorf("saved %d multiply-adds and %d parameters, and the moves say %d and %d", p.Before.MAdds-p.After.MAdds, p.Before.Params-p.After.Params, madds, params)
			}
			if bound.MaxMAdds > 0 && p.After.MAdds > bound.MaxMAdds || bound.MaxParams > 0 && p.After.Params > bound.MaxParams {
				t.Errorf("%d multiply-adds and %d parameters break the bound", p.After.MAdds, p.After.Params)
			}
		}
	}
}

// Weights are read only of what the chosen transformation changes; where they
// cannot be, that is an error and no reason to choose another one.
func TestChooseReadsTheWeightsOfTheChosenAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.onnx")
	if err := resnet20(t).Model.Save(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	model, err := onnxgraph.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m := cellmap.Lift(model)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	opt := transformer.Options{Policy: wants(cellmap.ClassOther, transformer.Keep), Rules: transformer.NATPlusPlus, Samples: 10}
	if _, err := transformer.Choose(context.Background(), m, opt); err != nil {
		t.Errorf("keeping all reads weights: %v", err)
	}
	kinds := wants(cellmap.ClassOther, transformer.ToConv1x1)
	for class, logits := range kinds {
		logits[transformer.ToNull], logits[transformer.ToSkip] = -1e12, -1e12 // which read biases
		kinds[class] = logits
	}
	opt.Policy, opt.MaxMAdds = kinds, 1
	if _, err := transformer.Choose(context.Background(), m, opt); !errors.Is(err, transformer.ErrBounds) {
		t.Errorf("candidates over the bound give %v, want ErrBounds", err)
	}
	opt.MaxMAdds = 0
	if p, err := transformer.Choose(context.Background(), m, opt); err == nil || errors.Is(err, transformer.ErrBounds) {
		t.Errorf("without the file: %+v, %v; want an error of reading", p, err)
	}
}

func TestChooseIsReproducible(t *testing.T) {
	m := resnet20(t)
	policy := fixed{cellmap.ClassNull: {0, 0, 1}, cellmap.ClassOther: {0, 2, 0}}
	seen := map[string]bool{}
	for seed := range uint64(4) {
		opt := transformer.Options{Policy: policy, Seed: seed, PerCell: true}
		first, second := fmt.Sprint(choose(t, m, opt).Moves), fmt.Sprint(choose(t, m, opt).Moves)
		if first != second {
			t.Errorf("seed %d gives two results", seed)
		}
		seen[first] = true
	}
	if len(seen) < 2 {
		t.Error("all seeds give one result")
	}
}

func TestChoosePerTypeDecidesAlike(t *testing.T) {
	m := resnet20(t)
	policy := fixed{cellmap.ClassSkip: {1, 1, 1}, cellmap.ClassOther: {1, 1, 1}, cellmap.ClassNull: {1, 1, 1}}
	p := choose(t, m, transformer.Options{Policy: policy, Seed: 3})
	type key struct {
		cellType *cellmap.Type
		edge     cellmap.EdgeID
	}
	to, moves := map[key]cellmap.Op{}, map[key]int{}
	for _, move := range p.Moves {
		k := key{move.Cell.Type, move.Edge}
		if old, ok := to[k]; ok && old != move.To {
			t.Errorf("cells of type %s decide differently on %v", move.Cell.Type.Name, move.Edge)
		}
		to[k] = move.To
		moves[k]++
	}
	for k, n := range moves {
		refused := 0
		for _, r := range p.Refused {
			if (key{r.Cell.Type, r.Edge}) == k {
				refused++
			}
		}
		if n+refused < len(k.cellType.Cells) {
			t.Errorf("type %s, %v: %d moves and %d refusals for %d cells", k.cellType.Name, k.edge, n, refused, len(k.cellType.Cells))
		}
	}
}

func TestChooseStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := transformer.Choose(ctx, resnet20(t), transformer.Options{
		Policy: wants(cellmap.ClassNull, transformer.ToSkip), Rules: transformer.NAT, Samples: 10})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// What the built-in policy makes of MobileNetV2's repeated blocks is what the
// paper's authors published for them, the normal cell of NAT_MobileNetv2. Residual
// blocks, too, keep all that they have; what is new is skips.
func TestBuiltinPolicyOnKnownNetworks(t *testing.T) {
	policy, err := transformer.Builtin(transformer.DefaultPolicy)
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"resnet18", "resnet50", "mobilenet_v2"} {
		model, err := fixtures.Build(network, fixtures.Options{})
		if err != nil {
			t.Fatal(err)
		}
		m := cellmap.Lift(model)
		p := choose(t, m, transformer.Options{Policy: policy})
		if len(p.Moves) == 0 {
			t.Errorf("%s: no moves", network)
		}
		for _, move := range p.Moves {
			if old := move.Old().Op; old != cellmap.Null || move.To != cellmap.Skip {
				t.Errorf("%s %s: %s becomes %s", network, move.Cell.Name, old, move.To)
			}
		}
		for _, c := range m.Cells {
			if c.Name != "features.6" {
				continue
			}
			form := c.Form()
			for _, move := range p.Moves {
				if move.Cell == c {
					form.Edges[2*(move.Edge.Node-2)+move.Edge.Slot].Op = move.To
				}
			}
			if got, want := form.Published().String(), "N<0 c1<1 | N<0 s3<2 | S<0 c1<3 | S<1 S<4 cat[5]"; got != want {
				t.Errorf("%s %s: %s, want the published %s", network, c.Name, got, want)
			}
		}
	}
}
