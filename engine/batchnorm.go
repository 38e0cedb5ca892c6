package engine

import (
	"errors"
	"fmt"

	"github.com/natonnx/natonnx/engine/vec"
)

// A batchNorm computes BatchNormalization, with the statistics of the batch in
// training, with the given ones in inference; and the addition and the Relu or
// Clip that follow it. Inputs: x, scale, bias, mean, variance, and what is added.
type batchNorm struct {
	epsilon  float64
	momentum float32 // of the old running statistics
	batch    bool    // the batch's own statistics
	unbiased bool    // the running variance is estimated as PyTorch does
	updates  bool    // of running statistics, in place
	clamp    clamp
	adds     bool

	scale, shift []float32 // nil: not known before the run
}

func newBatchNorm(n *node) (step, error) {
	if err := n.require(5); err != nil {
		return nil, err
	}
	if n.opset < 9 && n.Int("spatial", 1) == 0 {
		return nil, errors.New("spatial is 0, want 1: statistics by channel")
	}
	b := &batchNorm{
		epsilon: float64(n.Float("epsilon", 1e-5)), momentum: n.Float("momentum", 0.9),
		batch: n.Int("training_mode", 0) != 0, clamp: noClamp,
	}
	if n.training() {
		b.updates = n.plan.batchStatistics
		b.batch = b.batch || b.updates
		b.unbiased = true
		return b, nil
	}
	var p [4][]float32
	for i := range p {
		c := toSingle(n.constant(i + 1))
		if c == nil || b.batch {
			return b, nil
		}
		if p[i] = c.Float32s(); len(p[i]) == 0 || len(p[i]) != len(p[0]) {
			return nil, fmt.Errorf("input %d is %v, want float32 with an element for each channel", i+1, c)
		}
	}
	b.scale, b.shift = factors(p, b.epsilon)
	return b, nil
}

// factors returns scale and shift of a normalization by given statistics.
func factors(p [4][]float32, epsilon float64) (scale, shift []float32) {
	c := len(p[0])
	all := make([]float32, 3*c)
	scale, shift = all[:c:c], all[c:2*c:2*c]
	vec.NormFactors(scale, shift, all[2*c:], p[2], p[3], p[0], p[1], epsilon)
	return scale, shift
}

func (*batchNorm) anyLayout() {}
func (*batchNorm) inFloat32() {}

func (b *batchNorm) fuse(next *node, at int) (bool, string) {
	if b.clamp != noClamp {
		return false, ""
	}
	if lo, hi, ok := clampOf(next); ok && at == 0 {
		b.clamp = clamp{lo, hi}
		return true, ""
	}
	if other, ok := addend(next, at); ok && !b.adds {
		b.adds = true
		return true, other
	}
	return false, ""
}

// moments are what one exec remembers of a normalization for the way back.
type moments struct{ mean, variance, invStd, scale, shift []float32 }

func newMoments(c int) func() *moments {
	return func() *moments {
		all := make([]float32, 5*c)
		part := func(i int) []float32 { return all[i*c : (i+1)*c : (i+1)*c] }
		return &moments{part(0), part(1), part(2), part(3), part(4)}
	}
}

func (b *batchNorm) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	t, p, err := b.check(x, in)
	if err != nil {
		return nil, err
	}
	c := len(p[0])
	m := keep(x, newMoments(c))
	scale, shift := b.scale, b.shift
	if scale == nil {
		if len(m.mean) != c {
			*m = *newMoments(c)()
		}
		b.statistics(x, m, t, p)
		scale, shift = m.scale, m.shift
	}
	var add []float32
	if b.adds {
		a, err := x.order(in[len(in)-1], t.last)
		if err != nil {
			return nil, err
		}
		add = a.data.([]float32)
	}
	out, err := x.lend(t.Dims, t.last)
	if err != nil {
		return nil, err
	}
	vec.Affine(x.team, out.data.([]float32), t.data.([]float32), c, scale, shift, add, b.clamp.lo, b.clamp.hi)
	return b.results(x, out, m, p), nil
}

// check returns the input with channels last, and the four parameters.
func (b *batchNorm) check(x *exec, in []*Tensor) (*Tensor, [4][]float32, error) {
	var p [4][]float32
	if b.scale != nil { // known since the model was compiled
		p = [4][]float32{b.scale, b.shift}
	} else {
		for i := range p {
			p[i] = in[i+1].Float32s()
			if len(p[i]) != len(p[0]) {
				return nil, p, fmt.Errorf("input %d is %v, want float32 %d", i+1, in[i+1], len(p[0]))
			}
		}
	}
	if _, ok := in[0].data.([]float32); !ok || len(in[0].Dims) < 2 || in[0].Dims[1] != len(p[0]) {
		return nil, p, fmt.Errorf("input is %v, want float32 with %d channels", in[0], len(p[0]))
	}
	if len(in[0].Dims) == 2 {
		return in[0], p, nil
	}
	t, err := x.channelsLast(in[0])
	return t, p, err
}

// statistics sets m to what normalizes t, and updates the running statistics.
func (b *batchNorm) statistics(x *exec, m *moments, t *Tensor, p [4][]float32) {
	if !b.batch {
		copy(m.mean, p[2])
		copy(m.variance, p[3])
	} else {
		vec.Moments(x.team, m.mean, m.variance, t.data.([]float32), len(p[0]))
	}
	vec.NormFactors(m.scale, m.shift, m.invStd, m.mean, m.variance, p[0], p[1], b.epsilon)
	if b.updates {
		rows := t.Len() / max(len(p[0]), 1)
		b.blend(p[2], p[2], m.mean, 1)
		b.blend(p[3], p[3], m.variance, b.correction(rows))
	}
}

// correction makes a biased variance of that many rows the one to remember.
func (b *batchNorm) correction(rows int) float32 {
	if b.unbiased && rows > 1 {
		return float32(float64(rows) / float64(rows-1))
	}
	return 1
}

func (b *batchNorm) blend(dst, old, now []float32, by float32) {
	for i, v := range now {
		dst[i] = old[i]*b.momentum + v*by*(1-b.momentum)
	}
}

// results returns the output, and the statistics that training_mode asks for.
func (b *batchNorm) results(x *exec, out *Tensor, m *moments, p [4][]float32) []*Tensor {
	all := []*Tensor{out}
	if len(x.program.calls[x.current].out) < 3 || !b.batch {
		return all
	}
	for i, now := range [][]float32{m.mean, m.variance} {
		running := make([]float32, len(now))
		b.blend(running, p[2+i], now, 1)
		all = append(all, of([]int{len(now)}, running))
	}
	return all
}

func (b *batchNorm) reads() (in, out indices) {
	if b.clamp != noClamp {
		return only(0, 1), only(0)
	}
	return only(0, 1), 0
}

func (b *batchNorm) grad(x *exec, in, out, dout []*Tensor, want []bool) ([]*Tensor, error) {
	c := in[0].Dims[1]
	last := len(in[0].Dims) > 2
	m := keep(x, newMoments(c))
	n := vec.Norm{C: c, Mean: m.mean, InvStd: m.invStd, Gamma: in[1].Float32s(), Lo: b.clamp.lo, Hi: b.clamp.hi}
	for _, s := range []struct {
		to   *[]float32
		from *Tensor
		used bool
	}{{&n.X, in[0], true}, {&n.Y, out[0], b.clamp != noClamp}, {&n.DY, dout[0], true}} {
		if !s.used {
			continue
		}
		t, err := x.order(s.from, last)
		if err != nil {
			return nil, err
		}
		*s.to = t.data.([]float32)
	}
	din := make([]*Tensor, len(in))
	for _, s := range []struct {
		i    int
		to   *[]float32
		last bool
	}{{0, &n.DX, last}, {1, &n.DGamma, false}, {2, &n.DBeta, false}, {5, &n.DAdd, last}} {
		if s.i >= len(want) || !want[s.i] {
			continue
		}
		t, err := x.lend(in[s.i].Dims, s.last)
		if err != nil {
			return nil, err
		}
		din[s.i], *s.to = t, t.data.([]float32)
	}
	if b.batch {
		vec.NormBackward(x.team, n)
	} else {
		vec.NormBackwardFrozen(x.team, n)
	}
	return din, nil
}
