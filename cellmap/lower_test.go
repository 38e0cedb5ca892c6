package cellmap_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

// small networks with weights, one per kind of block and dialect.
var small = map[string]fixtures.Options{
	"resnet18":           {Width: 0.25, Size: 64, Classes: 10},
	"resnet50":           {Width: 0.125, Size: 64, Classes: 10, Dialect: fixtures.Dialect{FoldBN: true}},
	"resnet20":           {Dialect: fixtures.Dialect{Names: fixtures.Dynamo, FoldBN: true}},
	"preact_resnet20":    {},
	"resnet14":           {Width: 0.5, Dialect: fixtures.Dialect{Identity: true, Dropout: true, Sum: true}},
	"vgg16":              {Width: 0.125, Size: 64, Classes: 10},
	"vgg16_bn":           {Width: 0.125, Size: 64, Classes: 10, Dialect: fixtures.Dialect{Opset: 9, Names: fixtures.Legacy}},
	"mobilenet_v2":       {Width: 0.5, Size: 64, Classes: 10, Dialect: fixtures.Dialect{Pad: true}},
	"squeezenet1_1":      {Size: 64, Classes: 10},
	"alexnet":            {Width: 0.25, Classes: 10},
	"shufflenet_v2_x1_0": {Size: 64, Classes: 10},
	"googlenet":          {Width: 0.25, Size: 64, Classes: 10},
}

func build(t testing.TB, name string) *onnxgraph.Model {
	t.Helper()
	m, err := fixtures.Build(name, small[name])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// allMoves lists every move of NAT's rules that the network allows one by one.
func allMoves(m *cellmap.Map) (out []cellmap.Move) {
	for _, c := range m.Cells {
		for i := range c.Nodes {
			for slot, e := range c.Nodes[i].Edges {
				for _, to := range []cellmap.Op{cellmap.Null, cellmap.Skip} {
					move := cellmap.Move{Cell: c, Edge: cellmap.EdgeID{Node: i + 2, Slot: slot}, To: to}
					if e.Op != to && m.Allowed(move) == nil {
						out = append(out, move)
					}
				}
			}
		}
	}
	return out
}

// apply lowers moves and returns the path of the saved result.
func apply(t testing.TB, m *cellmap.Map, moves []cellmap.Move, init cellmap.SkipInit) (string, error) {
	t.Helper()
	patch, err := m.Lower(moves, init)
	if err != nil {
		return "", err
	}
	out, err := m.Model.Apply(patch)
	if err != nil {
		t.Fatalf("%v: %v", moves, err)
	}
	if err := out.Validate(); err != nil {
		t.Fatalf("%v: %v", moves, err)
	}
	return save(t, out), nil
}

func save(t testing.TB, m *onnxgraph.Model) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := m.Save(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// run gives a model seeded noise and returns its first output.
func run(t testing.TB, m *onnxgraph.Model, path string) oracle.Tensor {
	t.Helper()
	in := m.Graph.RealInputs()[0]
	shape := []int64{2}
	if d := in.Type.Shape[0]; d.Known() {
		shape[0] = d.N
	}
	for _, d := range in.Type.Shape[1:] {
		shape = append(shape, d.N)
	}
	out := oracle.Run(t, path, map[string]oracle.Tensor{in.Name: oracle.Probe(7, shape)})
	return out[m.Graph.Outputs[0].Name]
}

func TestLowerWithoutMovesIsTheIdentity(t *testing.T) {
	for name := range small {
		m := cellmap.Lift(build(t, name))
		patch, err := m.Lower(nil, cellmap.ZeroGate)
		if err != nil || !patch.Empty() {
			t.Errorf("%s: %+v, %v; want the empty patch", name, patch, err)
		}
	}
}

// With closed gates the transformed network computes what the original did.
func TestGatedSkipsKeepTheFunction(t *testing.T) {
	models := map[string]*onnxgraph.Model{}
	for name := range small {
		models[name] = build(t, name)
	}
	for _, file := range realModels(t) {
		models[filepath.Base(file)] = open(t, file)
	}
	for name, m := range models {
		t.Run(name, func(t *testing.T) {
			lifted := cellmap.Lift(m)
			var moves []cellmap.Move
			for _, move := range allMoves(lifted) {
				if move.Old().Op == cellmap.Null {
					moves = append(moves, move)
				}
			}
			if len(moves) == 0 {
				t.Skip("no skip fits this network")
			}
			path, err := apply(t, lifted, moves, cellmap.ZeroGate)
			if err != nil {
				t.Fatal(err)
			}
			oracle.Check(t, path)
			if _, rel := oracle.MaxDiff(run(t, m, path), run(t, m, save(t, m))); rel > 1e-5 {
				t.Errorf("%d gated skips change the output by %g", len(moves), rel)
			}
		})
	}
}

// realModels are the trained networks beside the checkout, where they are.
func realModels(t testing.TB) []string {
	var out []string
	for _, name := range []string{"cifar10/ace_resnet20_cifar10_pre.onnx", "cifar10/amandashi95_resnet20.onnx", "cifar10/resnet_2b.onnx",
		"cifar10/sri_resnet_3b2_bn_mixup_adv_4.0_bs128_lr-1.onnx", "imagenet/derived_mobilenetv2_fp32.onnx", "quantized/diablo_mobilenetv2_quant_static.onnx"} {
		path := corpus.Shared("models", filepath.FromSlash(name))
		if _, err := onnxgraph.Open(path); err == nil {
			out = append(out, path)
		}
	}
	return out
}

func open(t testing.TB, path string) *onnxgraph.Model {
	t.Helper()
	m, err := onnxgraph.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// naive carries out moves in the plainest way, as a judge of [cellmap.Map.Lower]:
// every null edge is a multiplication by zero, every skip an addition, nothing
// is removed and nothing folded.
func naive(t testing.TB, m *cellmap.Map, moves []cellmap.Move) *onnxgraph.Model {
	t.Helper()
	x := m.Model.Graph.Index()
	p := &onnxgraph.Patch{Rule: "naive", Init: []*onnxgraph.Tensor{onnxgraph.NewFloat32s("naive/zero", nil, []float32{0})}}
	now := map[string]string{} // what a value of the network is called after the change
	name := func(v string) string {
		if to, ok := now[v]; ok {
			return to
		}
		return v
	}
	emit := func(op string, inputs ...string) string {
		out := fmt.Sprintf("naive/%d", len(p.Add))
		p.Add = append(p.Add, onnxgraph.NewNode(op, out, inputs, []string{out}))
		return out
	}
	moved := map[*cellmap.Cell]map[cellmap.EdgeID]cellmap.Op{}
	for _, move := range moves {
		if moved[move.Cell] == nil {
			moved[move.Cell] = map[cellmap.EdgeID]cellmap.Op{}
		}
		moved[move.Cell][move.Edge] = move.To
	}
	mine := map[*onnxgraph.Node]bool{}
	point := func(n *onnxgraph.Node, from, to string) {
		mine[n] = true
		for i, in := range n.Inputs {
			if in == from {
				p.Rewire = append(p.Rewire, onnxgraph.Rewire{Node: n, Input: i, To: to})
			}
		}
	}
	for _, c := range m.Cells {
		values := []string{name(c.Inputs[0]), name(c.Inputs[1])}
		olds := []string{c.Inputs[0], c.Inputs[1]}
		for i, n := range c.Nodes {
			// Every node adds up its two edges anew; a null edge adds nothing to
			// the other, and two of them add zero times the value that was there.
			var sum string
			for slot, e := range n.Edges {
				op := e.Op
				if to, ok := moved[c][cellmap.EdgeID{Node: i + 2, Slot: slot}]; ok {
					op = to
				}
				v := values[e.From]
				switch {
				case op == cellmap.Null && e.Op == cellmap.Null:
					continue
				case op == cellmap.Null && e.Value != "":
					point(e.Nodes[0], e.Nodes[0].Inputs[0], v)
					v = emit("Mul", e.Value, "naive/zero")
				case op == cellmap.Null:
					v = emit("Mul", v, "naive/zero")
				case op == e.Op && e.Value != "":
					point(e.Nodes[0], e.Nodes[0].Inputs[0], v)
					v = e.Value
				}
				if sum == "" {
					sum = v
				} else {
					sum = emit("Add", sum, v)
				}
			}
			if len(n.Act) > 0 {
				before := n.Edges[1].Value
				if n.Sum != nil {
					before = n.Sum.Outputs[0]
				} else if before == "" {
					before = olds[n.Edges[1].From]
				}
				for _, a := range n.Act {
					point(a, before, sum)
				}
				sum = n.Value
			}
			values, olds = append(values, sum), append(olds, n.Value)
		}
		if c.Join != nil {
			for i, k := range c.Concat {
				p.Rewire = append(p.Rewire, onnxgraph.Rewire{Node: c.Join, Input: i, To: values[k]})
			}
			mine[c.Join] = true
		} else {
			now[c.Output] = values[c.Concat[0]]
		}
		for _, n := range c.Nodes {
			for _, list := range [][]*onnxgraph.Node{n.Edges[0].Nodes, n.Edges[1].Nodes, n.Act, {n.Sum}} {
				for _, op := range list {
					mine[op] = true
				}
			}
		}
	}
	for v, to := range now {
		for _, u := range x.Consumers[v] {
			if !mine[u.Node] && to != v {
				p.Rewire = append(p.Rewire, onnxgraph.Rewire{Node: u.Node, Input: u.Input, To: to})
			}
		}
	}
	out, err := m.Model.Apply(p)
	if err != nil {
		t.Fatalf("naive %v: %v", moves, err)
	}
	return out
}

// Any legal set of destructive moves computes what the naive form computes.
func TestDestructiveMovesAreExact(t *testing.T) {
	for name := range small {
		t.Run(name, func(t *testing.T) {
			m := build(t, name)
			lifted := cellmap.Lift(m)
			legal := allMoves(lifted)
			rng := rand.New(rand.NewPCG(1, 2))
			rounds, clashes, constants := 12, 0, 0
			for range rounds {
				moves := pick(rng, legal, 1+rng.IntN(min(8, len(legal))))
				path, err := apply(t, lifted, moves, cellmap.IdentitySkip)
				var refusal cellmap.Refusal
				if errors.As(err, &refusal) {
					clashes++
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if out := open(t, path); strings.Contains(fmt.Sprint(names(out.Graph.Initializers)), "natonnx/") {
					constants++
				}
				oracle.Check(t, path)
				want := run(t, m, save(t, naive(t, lifted, moves)))
				if _, rel := oracle.MaxDiff(run(t, m, path), want); rel > 1e-4 {
					t.Errorf("%v: output differs by %g", moves, rel)
				}
			}
			t.Logf("%d move sets, %d refused together, %d with a folded or added constant", rounds, clashes, constants)
			if clashes == rounds {
				t.Error("every set of moves was refused")
			}
		})
	}
}

func names(list []*onnxgraph.Tensor) (out []string) {
	for _, t := range list {
		out = append(out, t.Name)
	}
	return out
}

// pick draws n moves on different edges.
func pick(rng *rand.Rand, legal []cellmap.Move, n int) (out []cellmap.Move) {
	type place struct {
		cell *cellmap.Cell
		edge cellmap.EdgeID
	}
	seen := map[place]bool{}
	for _, i := range rng.Perm(len(legal)) {
		if at := (place{legal[i].Cell, legal[i].Edge}); len(out) < n && !seen[at] {
			seen[at] = true
			out = append(out, legal[i])
		}
	}
	return out
}

// Every single legal move is lowered, and the result loads.
func TestEveryLegalMoveAlone(t *testing.T) {
	m := build(t, "resnet20")
	lifted := cellmap.Lift(m)
	want := map[string]bool{}
	for _, move := range allMoves(lifted) {
		if move.Cell.Index > 3 {
			continue // the cells repeat
		}
		path, err := apply(t, lifted, []cellmap.Move{move}, cellmap.IdentitySkip)
		if err != nil {
			t.Errorf("%v: %v", move, err)
			continue
		}
		ref := run(t, m, save(t, naive(t, lifted, []cellmap.Move{move})))
		if _, rel := oracle.MaxDiff(run(t, m, path), ref); rel > 1e-4 {
			t.Errorf("%v: output differs by %g", move, rel)
		}
		want[fmt.Sprint(move.Old().Op.Class(), move.To.Class())] = true
	}
	for _, kind := range []string{"O S", "O N", "S N", "N S"} {
		if !want[kind] {
			t.Errorf("no move %s was tried", kind)
		}
	}
}

// A network with added skips is read as the cells that it was made of, with the
// skips in place of the null edges.
func TestLiftUnderstandsWhatWasLowered(t *testing.T) {
	for _, name := range []string{"resnet18", "resnet50", "preact_resnet20", "mobilenet_v2", "squeezenet1_1"} {
		for _, init := range []cellmap.SkipInit{cellmap.ZeroGate, cellmap.IdentitySkip} {
			lifted := cellmap.Lift(build(t, name))
			var moves []cellmap.Move
			want := make([]cellmap.Form, len(lifted.Cells))
			for i, c := range lifted.Cells {
				want[i] = c.Form()
			}
			for _, move := range allMoves(lifted) {
				if move.Old().Op == cellmap.Null {
					moves = append(moves, move)
					want[move.Cell.Index].Edges[2*(move.Edge.Node-2)+move.Edge.Slot].Op = cellmap.Skip
				}
			}
			path, err := apply(t, lifted, moves, init)
			if err != nil {
				t.Fatal(err)
			}
			again := cellmap.Lift(open(t, path))
			if len(again.Cells) != len(want) {
				t.Errorf("%s: %d cells, want %d", name, len(again.Cells), len(want))
				continue
			}
			for i, c := range again.Cells {
				if c.Name != lifted.Cells[i].Name {
					t.Errorf("%s: cell %q was %q", name, c.Name, lifted.Cells[i].Name)
				}
				if !c.Form().Equal(want[i]) {
					t.Errorf("%s, %s: %v, want %v", name, lifted.Cells[i].Name, c.Form(), want[i])
				}
			}
		}
	}
}

// The transformed network equals one that is written by hand, layer by layer,
// from the same weights.
func TestTransformedEqualsHandBuilt(t *testing.T) {
	opt := fixtures.Options{Size: 16, Classes: 10}
	branch := func(n *fixtures.Net, path string, x fixtures.Value) fixtures.Value {
		x = n.Relu(path+".relu", n.ConvBN(path+".conv1", path+".bn1", x, fixtures.Conv{Out: 16, Kernel: 3, Pad: 1}))
		return n.ConvBN(path+".conv2", path+".bn2", x, fixtures.Conv{Out: 16, Kernel: 3, Pad: 1})
	}
	network := func(blocks func(n *fixtures.Net, x fixtures.Value) fixtures.Value) *onnxgraph.Model {
		n := fixtures.NewNet(opt, 3)
		x := n.Relu("relu", n.ConvBN("conv1", "bn1", n.Input(), fixtures.Conv{Out: 16, Kernel: 3, Pad: 1}))
		m, err := n.Model("net", n.Classifier("fc", n.Flatten("", n.GlobalPool("avgpool", blocks(n, x)))))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	original := network(func(n *fixtures.Net, x fixtures.Value) fixtures.Value {
		for _, path := range []string{"layer1.0", "layer1.1", "layer1.2", "layer1.3"} {
			x = n.Relu(path+".relu", n.Add(path, branch(n, path, x), x))
		}
		return x
	})
	expected := network(func(n *fixtures.Net, x fixtures.Value) fixtures.Value {
		// The first convolution is the identity.
		y := n.ConvBN("layer1.0.conv2", "layer1.0.bn2", n.Relu("layer1.0.relu", x), fixtures.Conv{Out: 16, Kernel: 3, Pad: 1})
		first := n.Relu("layer1.0.relu", n.Add("layer1.0", y, x))
		// The second convolution is gone, and with it the whole branch.
		second := n.Relu("layer1.1.relu", first)
		// The shortcut is gone.
		third := n.Relu("layer1.2.relu", branch(n, "layer1.2", second))
		// The output of the block before the last enters the branch.
		y = n.ConvBN("layer1.3.conv1", "layer1.3.bn1", third, fixtures.Conv{Out: 16, Kernel: 3, Pad: 1})
		y = n.Relu("layer1.3.relu", n.Add("layer1.3.extra", y, second))
		y = n.ConvBN("layer1.3.conv2", "layer1.3.bn2", y, fixtures.Conv{Out: 16, Kernel: 3, Pad: 1})
		return n.Relu("layer1.3.relu", n.Add("layer1.3", y, third))
	})
	lifted := cellmap.Lift(original)
	move := func(cell, node, slot int, to cellmap.Op) cellmap.Move {
		return cellmap.Move{Cell: lifted.Cells[cell], Edge: cellmap.EdgeID{Node: node, Slot: slot}, To: to}
	}
	path, err := apply(t, lifted, []cellmap.Move{
		move(0, 3, 1, cellmap.Skip), // O->S
		move(1, 4, 1, cellmap.Null), // O->N
		move(2, 5, 0, cellmap.Null), // S->N
		move(3, 3, 0, cellmap.Skip), // N->S
	}, cellmap.IdentitySkip)
	if err != nil {
		t.Fatal(err)
	}
	got, want := run(t, original, path), run(t, original, save(t, expected))
	if _, rel := oracle.MaxDiff(got, want); rel > 1e-5 {
		t.Errorf("output differs by %g", rel)
	}
	if _, rel := oracle.MaxDiff(got, run(t, original, save(t, original))); rel < 1e-2 {
		t.Errorf("the moves change the output by %g only: the test proves nothing", rel)
	}
	if convolutions := strings.Count(fmt.Sprint(open(t, path).Graph.Nodes), "(Conv "); convolutions != 6 {
		t.Errorf("%d convolutions are left, want 6", convolutions)
	}
}
