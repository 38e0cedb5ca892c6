package cellmap_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// FuzzLiftLower damages small networks: lifting and lowering whatever still
// parses must neither panic nor hang, and what Apply accepts must parse again.
func FuzzLiftLower(f *testing.F) {
	for _, m := range seeds(f) {
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes(), uint64(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		m, err := onnxgraph.Parse("fuzz", data)
		if err != nil {
			return
		}
		valid := m.Validate() == nil
		lifted := cellmap.Lift(m)
		legal := append(allMoves(lifted), movesTo(lifted, kinds...)...)
		if len(legal) == 0 {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		for _, init := range []cellmap.SkipInit{cellmap.ZeroGate, cellmap.IdentitySkip} {
			moves := pick(rng, legal, 1+rng.IntN(6))
			draft, err := lifted.Draft(moves, init)
			if err != nil {
				continue
			}
			patch, err := lifted.Lower(moves, init)
			if err != nil {
				continue // weights that are not finite, or not there
			}
			if a, b := len(draft.Add)+len(draft.Init), len(patch.Add)+len(patch.Init); a != b {
				t.Fatalf("a draft adds %d nodes and tensors, and the patch %d", a, b)
			}
			out, err := m.Apply(patch)
			if err != nil {
				if valid {
					t.Fatalf("a valid model, and Apply says: %v", err)
				}
				continue
			}
			var b bytes.Buffer
			if _, err := out.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			again, err := onnxgraph.Parse("again", b.Bytes())
			if err != nil {
				t.Fatalf("what was written does not parse: %v", err)
			}
			if err := again.Validate(); valid && err != nil {
				t.Fatalf("a valid model became invalid: %v", err)
			}
		}
	})
}

// seeds are networks of few kilobytes: a residual block of each form with
// weights of shape alone (ConstantOfShape, as Caffe2's exports have) and with
// stored ones, which other kinds can inherit.
func seeds(f *testing.F) (out []*onnxgraph.Model) {
	for _, dialect := range []struct {
		opset, ir int64
		stored    bool
	}{{9, 3, false}, {17, 8, false}, {17, 8, true}} {
		b := onnxgraph.NewBuilder("seed", dialect.opset)
		b.IRVersion = dialect.ir
		b.Input("x", onnxgraph.Float32, onnxgraph.Shape{onnxgraph.Symbol("n"), onnxgraph.Const(2), onnxgraph.Const(8), onnxgraph.Const(8)})
		weights := 0
		conv := func(in, out string, group, kernel int64) {
			shape, w := fmt.Sprintf("s%d", weights), fmt.Sprintf("w%d", weights)
			weights++
			if dialect.stored {
				b.Init(onnxgraph.NewFloat32s(w, []int64{2, 2 / group, kernel, kernel}, noise(1, 4/group*kernel*kernel)))
			} else {
				b.Add(onnxgraph.NewNode("Constant", "", nil, []string{shape},
					onnxgraph.TensorAttr("value", onnxgraph.NewInt64s("", []int64{4}, []int64{2, 2 / group, kernel, kernel}))))
				b.Add(onnxgraph.NewNode("ConstantOfShape", "", []string{shape}, []string{w}))
			}
			b.Add(onnxgraph.NewNode("Conv", "/"+out+"/Conv", []string{in, w}, []string{out}, onnxgraph.IntAttr("group", group),
				onnxgraph.IntsAttr("pads", kernel/2, kernel/2, kernel/2, kernel/2)))
		}
		node := func(op, out string, in ...string) { b.Add(onnxgraph.NewNode(op, "", in, []string{out})) }
		conv("x", "a", 1, 3) // a residual block
		node("Relu", "b", "a")
		conv("b", "c", 1, 3)
		node("Add", "d", "c", "x")
		node("Relu", "e", "d")
		conv("e", "f", 1, 1) // a block with three operands and a projection
		conv("f", "g", 2, 3)
		conv("e", "h", 1, 1)
		node("Sum", "i", "g", "h", "e")
		conv("i", "j", 1, 1) // a module that concatenates
		conv("i", "k", 1, 3)
		b.Add(onnxgraph.NewNode("Concat", "", []string{"j", "k"}, []string{"l"}, onnxgraph.IntAttr("axis", 1)))
		// What an earlier lowering might have left, in an odd place.
		b.Add(onnxgraph.NewNode("Mul", "natonnx/z/node0/skip", []string{"l", "l"}, []string{"m"}))
		b.Output("m", onnxgraph.Float32, nil)
		m, err := b.Model("seed")
		if err != nil {
			f.Fatal(err)
		}
		if n := len(cellmap.Lift(m).Cells); n != 3 {
			f.Fatalf("the seed has %d cells, want 3", n)
		}
		out = append(out, m)
	}
	return out
}
