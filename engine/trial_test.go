package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A trial is a call of one operator.
type trial struct {
	op      string
	opset   int64
	attrs   []*onnxgraph.Attribute
	in      []*Tensor // nil: left out
	outputs int       // 0: one
	// smooth is how many inputs, from the first on, have gradients.
	smooth int
}

func (c trial) String() string {
	s := fmt.Sprintf("%s-%d", c.op, c.opset)
	for _, t := range c.in {
		s += " " + t.String()
	}
	for _, a := range c.attrs {
		s += fmt.Sprintf(" %s=%d%v%s", a.Name, a.Int, a.Ints, a.String)
	}
	return s
}

// model makes every input of the operator one of the graph.
func (c trial) model(t *testing.T) *onnxgraph.Model {
	t.Helper()
	b := onnxgraph.NewBuilder("trial", c.opset)
	if c.opset > 17 {
		b.IRVersion = 10
	}
	var in, out []string
	for i, v := range c.in {
		if in = append(in, ""); v == nil {
			continue
		}
		in[i] = fmt.Sprintf("in%d", i)
		shape := onnxgraph.Shape{}
		for _, d := range v.Dims {
			shape = append(shape, onnxgraph.Const(int64(d)))
		}
		b.Input(in[i], v.Type(), shape)
	}
	for i := range max(c.outputs, 1) {
		out = append(out, fmt.Sprintf("out%d", i))
	}
	b.Add(onnxgraph.NewNode(c.op, "", in, out, c.attrs...))
	for _, name := range out {
		b.Output(name, c.result(), nil)
	}
	m, err := b.Model("trial.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// result is the element type of the outputs.
func (c trial) result() onnxgraph.DataType {
	switch c.op {
	case "Shape", "Size", "ArgMax", "ArgMin":
		return onnxgraph.Int64
	}
	return c.in[0].Type()
}

// run runs the operator as a program.
func (c trial) run(t *testing.T) ([]*Tensor, error) {
	t.Helper()
	p, err := Compile(t.Context(), c.model(t), Options{Workers: 2})
	if err != nil {
		return nil, err
	}
	in := map[string]*Tensor{}
	for i, v := range c.in {
		if v != nil {
			in[fmt.Sprintf("in%d", i)] = v
		}
	}
	got, err := p.Run(context.Background(), in)
	if err != nil {
		return nil, err
	}
	out := make([]*Tensor, max(c.outputs, 1))
	for i := range out {
		out[i] = got[fmt.Sprintf("out%d", i)]
	}
	return out, nil
}

// A bench runs the step of a trial alone, on tensors in any order of memory.
type bench struct {
	x    *exec
	step step
}

func (c trial) bench(t *testing.T) bench {
	t.Helper()
	m := c.model(t)
	s, err := operators[c.op](&node{
		Node: m.Graph.Nodes[0], opset: c.opset,
		plan: &planner{model: m, types: m.Infer(), constants: newConstants(m)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return newBench(s)
}

func newBench(s step) bench {
	x := &exec{ctx: context.Background(), arena: new(arena), team: cpu.NewTeam(2), program: &Program{calls: make([]call, 1)}, own: make([]any, 1)}
	return bench{x, s}
}

// laid returns tensors with all that can be so in one order of memory.
func (b bench) laid(t *testing.T, list []*Tensor, last bool) []*Tensor {
	t.Helper()
	_, room := b.step.(roomy)
	out := slices.Clone(list)
	for i, v := range list {
		if v == nil || v.Float32s() == nil || len(v.Dims) < 3 || !room {
			continue
		}
		var err error
		if out[i], err = b.x.order(v, last); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// plain brings tensors back to row-major order.
func (b bench) plain(t *testing.T, list []*Tensor) []*Tensor {
	t.Helper()
	out := make([]*Tensor, len(list))
	for i, v := range list {
		var err error
		if out[i], err = b.x.rowMajor(v); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func normal(seed uint64, dims ...int) *Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	f := make([]float32, product(dims))
	for i := range f {
		f[i] = float32(r.NormFloat64())
	}
	return of(dims, f)
}

func ints(v ...int64) *Tensor { return of([]int{len(v)}, v) }

// near returns a description of the first difference that is too large.
func near(got, want []*Tensor, tolerance float64) error {
	for i, w := range want {
		g := got[i]
		if (g == nil) != (w == nil) {
			return fmt.Errorf("output %d is %v, want %v", i, g, w)
		}
		if g == nil {
			continue
		}
		if g.Type() != w.Type() || !slices.Equal(g.Dims, w.Dims) {
			return fmt.Errorf("output %d is %v, want %v", i, g, w)
		}
		a, _ := widen[float64](g)
		b, _ := widen[float64](w)
		for k := range b {
			if d := math.Abs(a[k] - b[k]); d > tolerance*max(1, math.Abs(b[k])) || math.IsNaN(a[k]) != math.IsNaN(b[k]) {
				return fmt.Errorf("output %d: element %d is %v, want %v", i, k, a[k], b[k])
			}
		}
	}
	return nil
}

// agree compares trials with ONNX Runtime.
func agree(t *testing.T, trials []trial) {
	for _, c := range trials {
		t.Run(c.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "trial.onnx")
			if err := c.model(t).Save(context.Background(), path); err != nil {
				t.Fatal(err)
			}
			in := map[string]oracle.Tensor{}
			for i, v := range c.in {
				if v == nil {
					continue
				}
				o := oracle.Tensor{Floats: v.Float32s(), Shape: []int64{}}
				o.Ints, _ = Data[int64](v)
				for _, d := range v.Dims {
					o.Shape = append(o.Shape, int64(d))
				}
				in[fmt.Sprintf("in%d", i)] = o
			}
			got, err := c.run(t)
			if err != nil {
				t.Fatal(err)
			}
			truth := oracle.Run(t, path, in)
			for i, g := range got {
				o := truth[fmt.Sprintf("out%d", i)]
				want := &Tensor{data: o.Floats}
				if o.Ints != nil {
					want.data = o.Ints
				}
				for _, d := range o.Shape {
					want.Dims = append(want.Dims, int(d))
				}
				if err := near([]*Tensor{g}, []*Tensor{want}, 2e-6); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// layouts checks that results and gradients do not depend on the order of memory.
func layouts(t *testing.T, trials []trial) {
	for _, c := range trials {
		t.Run(c.String(), func(t *testing.T) {
			b := c.bench(t)
			var outs, grads [2][]*Tensor
			for i, last := range []bool{false, true} {
				in := b.laid(t, c.in, last)
				out, err := b.step.run(b.x, in)
				if err != nil {
					t.Fatal(err)
				}
				outs[i] = b.plain(t, out)
				if c.smooth == 0 {
					continue
				}
				want := make([]bool, len(c.in))
				for k := range c.smooth {
					want[k] = true
				}
				for _, other := range []bool{false, true} {
					grads[i], err = b.step.(differentiable).grad(b.x, in, out, b.laid(t, c.douts(outs[i]), other), want)
					if err != nil {
						t.Fatal(err)
					}
					grads[i] = b.plain(t, grads[i][:c.smooth])
					if err := near(grads[i], grads[0], 1e-5); err != nil {
						t.Errorf("channels-last gradients: %v", err)
					}
				}
			}
			if err := near(outs[1], outs[0], 1e-5); err != nil {
				t.Errorf("channels last: %v", err)
			}
		})
	}
}

func (c trial) douts(out []*Tensor) []*Tensor {
	douts := make([]*Tensor, len(out))
	for i, o := range out {
		if o != nil && o.Float32s() != nil {
			douts[i] = normal(uint64(100+i), o.Dims...)
		}
	}
	return douts
}

// gradients compares gradients with differences.
func gradients(t *testing.T, trials []trial) {
	var cases []gradientCase
	for _, c := range trials {
		if c.smooth == 0 {
			continue
		}
		g := gradientCase{name: c.String(), op: c.op, opset: c.opset, attrs: c.attrs, inputs: c.in, outputs: c.outputs}
		for i, v := range c.in {
			switch {
			case i >= c.smooth:
				g.constant = append(g.constant, i)
			case len(v.Dims) == 4:
				g.last = append(g.last, i)
			}
		}
		cases = append(cases, g)
	}
	checkGradients(t, cases)
}
