package engine

import (
	"fmt"
	"math/rand/v2"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A dropout scales what it does not zero by 1/(1-ratio), where its third input
// (training_mode, since opset 12) says so. Everywhere else, and in training
// programs too, it is the identity: models are exported in inference mode, and
// an earlier opset has no way to say otherwise.
type dropout struct {
	seed, index uint64
	mask        bool // the second output is wanted
	old         bool // before opset 10: the mask has the type of the input
}

func newDropout(n *node) (step, error) {
	return dropout{
		seed: uint64(n.Int("seed", 0)), index: uint64(n.Index),
		mask: len(n.Outputs) > 1 && n.Outputs[1] != "", old: n.opset < 10,
	}, n.require(1)
}

// A lottery is what one exec remembers of a dropout: the draws go on from run to
// run, so that every batch has its own.
type lottery struct {
	random *rand.Rand
	factor float32
	kept   []bool // nil: all
}

// lottery is seeded by the attribute, and by the node's place in the graph, so
// that nodes without the attribute draw apart.
func (d dropout) lottery(x *exec) *lottery {
	return keep(x, func() *lottery {
		return &lottery{random: rand.New(rand.NewPCG(d.seed, d.index)), factor: 1}
	})
}

func (dropout) anyLayout() {}

func (d dropout) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	ratio, err := ratio(in)
	if err != nil {
		return nil, err
	}
	l := d.lottery(x)
	l.kept = nil
	y := x.view(in[0], in[0].Dims)
	if ratio > 0 {
		l.factor, l.kept = 1/(1-ratio), make([]bool, in[0].Len())
		for i := range l.kept {
			l.kept[i] = l.random.Float32() >= ratio
		}
		x.release(y)
		if y, err = l.apply(x, in[0]); err != nil {
			return nil, err
		}
	}
	if !d.mask {
		return []*Tensor{y}, nil
	}
	mask, err := d.masked(x, in[0], l.kept)
	return []*Tensor{y, mask}, err
}

// ratio returns which part of the elements is to be dropped in this run.
func ratio(in []*Tensor) (float32, error) {
	if len(in) < 3 || in[2] == nil {
		return 0, nil
	}
	training, ok := in[2].data.([]bool)
	if !ok || len(training) != 1 {
		return 0, fmt.Errorf("training_mode is %v, want one bool", in[2])
	}
	if !training[0] {
		return 0, nil
	}
	if in[1] == nil {
		return 0.5, nil
	}
	r, err := widen[float64](in[1])
	if err != nil || len(r) != 1 || !(r[0] >= 0 && r[0] < 1) {
		return 0, fmt.Errorf("ratio is %v %v, want one number in [0, 1)", in[1], r)
	}
	return float32(r[0]), nil
}

// apply returns t with the same elements dropped as in the last run.
func (l *lottery) apply(x *exec, t *Tensor) (*Tensor, error) {
	src, ok := t.data.([]float32)
	if !ok {
		return nil, fmt.Errorf("training dropout of %v, want float32", t)
	}
	out, err := x.lend(t.Dims, t.last)
	if err != nil {
		return nil, err
	}
	dst := out.data.([]float32)
	for i, v := range src {
		dst[i] = 0
		if l.kept[i] {
			dst[i] = v * l.factor
		}
	}
	return out, nil
}

// masked returns the second output: which elements of t were kept.
func (d dropout) masked(x *exec, t *Tensor, kept []bool) (*Tensor, error) {
	if kept == nil {
		kept = make([]bool, t.Len())
		kindOf[bool]{}.fill(kept, []bool{true})
	}
	mask, err := x.typed(onnxgraph.Bool, t.Dims, false)
	if err != nil {
		return nil, err
	}
	x.move(mask, &Tensor{data: kept}, movement{dims: t.Dims, to: mask.strides(), from: t.strides()})
	if d.old {
		return narrow(t.Type(), t.Dims, mapped(mask.data.([]bool), indicator))
	}
	return mask, nil
}

func (dropout) reads() (in, out indices) { return 0, 0 }

func (d dropout) grad(x *exec, _, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	l := d.lottery(x)
	switch {
	case dout[0] == nil:
		return nil, nil
	case l.kept == nil:
		return []*Tensor{x.view(dout[0], dout[0].Dims)}, nil
	}
	dx, err := l.apply(x, dout[0])
	return []*Tensor{dx}, err
}
