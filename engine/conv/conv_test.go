package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/window"
)

// A problem is a convolution with its operands.
type problem struct {
	s           window.Slide
	f           Filter
	batch       int
	in, w, dout []float32
	bias, add   []float32
}

func levels() []cpu.Level {
	var all []cpu.Level
	for l := cpu.Portable; l <= cpu.Offered(); l++ {
		all = append(all, l)
	}
	return all
}

func randoms(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = r.Float32()*2 - 1
	}
	return v
}

type shape struct {
	batch, channels, out, groups        int
	in, kernel, stride, dil, begin, end []int
}

func (c shape) problem(t testing.TB) problem {
	s, err := window.New(c.in, c.kernel, c.stride, c.dil, c.begin, c.end, false)
	if err != nil {
		t.Fatal(err)
	}
	p := problem{s: s, f: Filter{c.channels, c.out, c.groups, s.Kernel}, batch: c.batch}
	r := rand.New(rand.NewPCG(1, uint64(c.channels)))
	in, out := s.Pixels()
	p.in = randoms(r, c.batch*in*c.channels)
	p.dout = randoms(r, c.batch*out*c.out)
	p.w = randoms(r, c.out*c.channels/c.groups*s.Taps())
	p.bias = randoms(r, c.out)
	p.add = randoms(r, len(p.dout))
	return p
}

// each calls f for every product that the convolution is made of.
func (p problem) each(f func(in, w, out int)) {
	s, ig, og := p.s, p.f.In/p.f.Groups, p.f.Out/p.f.Groups
	for n := range p.batch {
		for o := range product(s.Out) {
			for k := range product(s.Kernel) {
				at, inside := 0, true
				op, kp := position(o, s.Out), position(k, s.Kernel)
				for d := range 3 {
					x := op[d]*s.Stride[d] + kp[d]*s.Dilation[d] - s.Begin[d]
					inside = inside && x >= 0 && x < s.In[d]
					at = at*s.In[d] + x
				}
				if !inside {
					continue
				}
				for oc := range p.f.Out {
					for ic := range ig {
						f((n*product(s.In)+at)*p.f.In+oc/og*ig+ic, (oc*ig+ic)*s.Taps()+k, (n*product(s.Out)+o)*p.f.Out+oc)
					}
				}
			}
		}
	}
}

func product(d [3]int) int { return d[0] * d[1] * d[2] }

func position(i int, extent [3]int) [3]int {
	return [3]int{i / (extent[1] * extent[2]), i / extent[2] % extent[1], i % extent[2]}
}

// naive computes the three results in float64.
func (p problem) naive() (out, din, dw []float64) {
	out, din, dw = make([]float64, len(p.dout)), make([]float64, len(p.in)), make([]float64, len(p.w))
	p.each(func(i, w, o int) {
		out[o] += float64(p.in[i]) * float64(p.w[w])
		din[i] += float64(p.dout[o]) * float64(p.w[w])
		dw[w] += float64(p.dout[o]) * float64(p.in[i])
	})
	return out, din, dw
}

// The three computations at a given level.

func (p problem) forward(l cpu.Level, workers int, e Epilogue) []float32 {
	out := dirty(len(p.dout))
	Forward(cpu.NewTeam(workers), p.s, p.batch, out, p.in, filterWeights(l, p.f, false).Repack(p.w), e)
	return out
}

func (p problem) backwardInput(l cpu.Level, workers int) []float32 {
	din := dirty(len(p.in))
	BackwardInput(cpu.NewTeam(workers), p.s, p.batch, din, p.dout, filterWeights(l, p.f, true).Repack(p.w))
	return din
}

func (p problem) backwardWeights(l cpu.Level, workers int) []float32 {
	dw := dirty(len(p.w))
	backwardWeights(l, cpu.NewTeam(workers), p.s, p.batch, p.f, dw, p.in, p.dout)
	return dw
}

// dirty returns memory that shows when a result was not written.
func dirty(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(math.NaN())
	}
	return v
}

// compare asserts that got is want within rounding of sums of n products of
// values up to 1.
func compare(t testing.TB, what string, got []float32, want []float64, n int) {
	t.Helper()
	tolerance := 2e-7 * float64(n+8)
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= tolerance) {
			t.Errorf("%s: value %d is %g, want %g", what, i, got[i], want[i])
			return
		}
	}
}

func (p problem) check(t testing.TB) {
	t.Helper()
	out, din, dw := p.naive()
	_, positions := p.s.Pixels()
	taps := p.s.Taps()
	for _, l := range levels() {
		compare(t, l.String()+" forward", p.forward(l, 2, Plain), out, taps*p.f.In)
		compare(t, l.String()+" backward to the input", p.backwardInput(l, 2), din, taps*p.f.Out)
		compare(t, l.String()+" backward to the weights", p.backwardWeights(l, 2), dw, positions*p.batch)
	}
}

func shapes() []shape {
	all := []shape{
		{3, 3, 16, 1, []int{8, 8}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}},
		{1, 16, 33, 1, []int{9, 7}, []int{3, 3}, []int{2, 2}, nil, []int{1, 1}, []int{1, 1}},
		{1, 5, 24, 1, []int{15, 13}, []int{7, 7}, []int{2, 2}, nil, []int{3, 3}, []int{3, 3}},
		{3, 8, 32, 1, []int{5, 6}, []int{1, 1}, nil, nil, nil, nil},
		{2, 8, 17, 1, []int{5, 6}, []int{1, 1}, []int{2, 2}, nil, nil, nil},
		{1, 4, 40, 1, []int{5, 7}, []int{1, 1}, []int{3, 2}, nil, []int{0, 1}, []int{1, 0}},
		{2, 6, 8, 1, []int{9, 9}, []int{3, 3}, nil, []int{2, 2}, []int{2, 2}, []int{2, 2}},
		{1, 6, 7, 1, []int{12, 9}, []int{3, 2}, []int{3, 2}, []int{2, 3}, []int{1, 0}, []int{4, 2}},
		{1, 2, 3, 1, []int{6, 6}, []int{2, 2}, []int{3, 3}, nil, nil, nil},
		{1, 8, 48, 2, []int{6, 5}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}},
		{2, 12, 6, 3, []int{6, 5}, []int{3, 3}, []int{2, 1}, []int{1, 2}, []int{1, 1}, []int{0, 2}},
		{1, 70, 100, 2, []int{4, 4}, []int{1, 1}, nil, nil, nil, nil},
		{2, 3, 4, 1, []int{40}, []int{5}, []int{2}, []int{3}, []int{4}, []int{1}},
		{1, 2, 5, 1, []int{1000}, []int{3}, nil, nil, []int{1}, []int{1}},
		{2, 3, 9, 1, []int{4, 5, 6}, []int{3, 3, 3}, []int{1, 2, 1}, nil, []int{1, 1, 1}, []int{1, 1, 1}},
		{1, 4, 4, 1, []int{7, 5, 6}, []int{2, 3, 1}, []int{2, 1, 2}, []int{3, 1, 1}, []int{2, 0, 0}, []int{1, 1, 0}},
		{1, 3, 5, 1, []int{4, 4}, []int{4, 4}, nil, nil, nil, nil},
		{1, 1, 1, 1, []int{1, 1}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}},
		{1, 64, 64, 1, []int{7, 7}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}},
		{5, 16, 16, 1, []int{20, 21}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}},
		{2, 600, 4, 1, []int{20, 21}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}},
	}
	for _, out := range []int{1, 3, 7, 8, 16, 17, 24, 31, 33, 48, 100} {
		all = append(all, shape{1, 3, out, 1, []int{5, 5}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}})
	}
	for pixels := range 30 {
		all = append(all, shape{1, 5, 20, 1, []int{pixels + 1}, []int{1}, nil, nil, nil, nil})
	}
	return all
}

func TestAgainstNaive(t *testing.T) {
	for _, c := range shapes() {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) { c.problem(t).check(t) })
	}
}

func TestEpilogue(t *testing.T) {
	for _, out := range []int{1, 8, 17, 33, 64} {
		p := shape{2, 4, out, 1, []int{5, 5}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}}.problem(t)
		plain, _, _ := p.naive()
		for _, l := range levels() {
			for name, e := range map[string]Epilogue{
				"bias":         {Bias: p.bias, Min: Plain.Min, Max: Plain.Max},
				"add":          {Add: p.add, Min: Plain.Min, Max: Plain.Max},
				"relu6":        {Min: 0, Max: 6},
				"everything":   {p.bias, p.add, -0.5, 0.75},
				"empty limits": {Min: 1, Max: -1},
			} {
				want := slices.Clone(plain)
				for i := range want {
					if e.Bias != nil {
						want[i] += float64(p.bias[i%out])
					}
					if e.Add != nil {
						want[i] += float64(p.add[i])
					}
					want[i] = min(max(want[i], float64(e.Min)), float64(e.Max))
				}
				compare(t, fmt.Sprint(l, " ", name, " ", out), p.forward(l, 2, e), want, 36)
			}
		}
	}
}

// The memory that is added to may be that of the result.
func TestAddInPlace(t *testing.T) {
	p := shape{2, 4, 20, 1, []int{5, 5}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}}.problem(t)
	for _, l := range levels() {
		e := Plain
		e.Add = p.add
		want := p.forward(l, 1, e)
		e.Add = slices.Clone(p.add)
		Forward(cpu.NewTeam(2), p.s, p.batch, e.Add, p.in, filterWeights(l, p.f, false).Repack(p.w), e)
		if !slices.Equal(e.Add, want) {
			t.Errorf("%s: another result in place", l)
		}
	}
}

func TestNotANumberAndInfinityPass(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, l := range levels() {
		for _, n := range []int{5, 16, 40} {
			w := make([]float32, n)
			for i := range w {
				w[i] = 1
			}
			out := make([]float32, 4*n)
			b := newWeights(l, 1, 1, n, 1, matrixOrder(1, n, false)).Repack(w)
			Multiply(cpu.NewTeam(1), 4, out, []float32{nan, inf, -inf, 2}, b, Plain)
			for c := range n {
				if a, b, d, e := out[c], out[n+c], out[2*n+c], out[3*n+c]; a == a || b != inf || d != -inf || e != 2 {
					t.Fatalf("%s: %g %g %g %g, want NaN, both infinities and 2", l, a, b, d, e)
				}
			}
			Multiply(cpu.NewTeam(1), 4, out, []float32{nan, inf, -inf, 2}, b, Epilogue{Min: 0, Max: 6})
			for c := range n {
				if a, b, d, e := out[c], out[n+c], out[2*n+c], out[3*n+c]; a == a || b != 6 || d != 0 || e != 2 {
					t.Fatalf("%s: clamped %g %g %g %g, want NaN 6 0 2", l, a, b, d, e)
				}
			}
		}
	}
}

func TestSameOnAnyNumberOfWorkers(t *testing.T) {
	for _, c := range []shape{
		{3, 16, 48, 1, []int{33, 30}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}},
		{7, 64, 128, 1, []int{14, 14}, []int{3, 3}, []int{2, 2}, nil, []int{1, 1}, []int{1, 1}},
		{5, 32, 96, 1, []int{14, 14}, []int{1, 1}, nil, nil, nil, nil},
	} {
		p := c.problem(t)
		l := cpu.Offered()
		for _, workers := range []int{2, 5} {
			if !slices.Equal(p.forward(l, workers, Plain), p.forward(l, 1, Plain)) {
				t.Errorf("%v: forward differs on %d workers", c, workers)
			}
			if !slices.Equal(p.backwardInput(l, workers), p.backwardInput(l, 1)) {
				t.Errorf("%v: backward to the input differs on %d workers", c, workers)
			}
			if !slices.Equal(p.backwardWeights(l, workers), p.backwardWeights(l, 1)) {
				t.Errorf("%v: backward to the weights differs on %d workers", c, workers)
			}
		}
	}
}

// <conv(x), y> = <x, BackwardInput(y)> = <w, BackwardWeights(x, y)>.
func TestAdjoint(t *testing.T) {
	for _, c := range []shape{
		{2, 64, 96, 1, []int{28, 28}, []int{3, 3}, []int{2, 2}, nil, []int{1, 1}, []int{1, 1}},
		{1, 256, 256, 1, []int{14, 14}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}},
		{1, 3, 64, 1, []int{112, 112}, []int{7, 7}, []int{2, 2}, nil, []int{3, 3}, []int{3, 3}},
		{2, 128, 128, 32, []int{28, 28}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}},
	} {
		p := c.problem(t)
		for _, l := range levels() {
			a, b, w := dot(p.forward(l, 2, Plain), p.dout), dot(p.in, p.backwardInput(l, 2)), dot(p.w, p.backwardWeights(l, 2))
			norm := math.Sqrt(float64(len(p.dout) * p.s.Taps() * c.channels / c.groups))
			if math.Abs(a-b) > 1e-5*norm || math.Abs(a-w) > 1e-5*norm {
				t.Errorf("%s %v: %g, %g and %g", l, c, a, b, w)
			}
		}
	}
}

func dot(a, b []float32) (sum float64) {
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

func TestMatrices(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, d := range [][3]int{{1, 1, 1}, {1, 64, 10}, {5, 3, 2}, {13, 17, 19}, {64, 64, 64}, {100, 30, 77}, {1, 512, 1000}, {500, 9, 33}} {
		m, k, n := d[0], d[1], d[2]
		a, b, dout, bias := randoms(r, m*k), randoms(r, k*n), randoms(r, m*n), randoms(r, n)
		bT := make([]float32, k*n)
		out, db := make([]float64, m*n), make([]float64, k*n)
		for i := range m {
			for x := range k {
				for j := range n {
					out[i*n+j] += float64(a[i*k+x]) * float64(b[x*n+j])
					db[x*n+j] += float64(a[i*k+x]) * float64(dout[i*n+j])
					bT[j*k+x] = b[x*n+j]
				}
			}
		}
		for i := range out {
			out[i] += float64(bias[i%n])
		}
		for _, l := range levels() {
			for _, transposed := range []bool{false, true} {
				from := b
				if transposed {
					from = bT
				}
				w := newWeights(l, 1, k, n, 1, matrixOrder(k, n, transposed)).Repack(from)
				got := dirty(m * n)
				Multiply(cpu.NewTeam(2), m, got, a, w, Epilogue{Bias: bias, Min: Plain.Min, Max: Plain.Max})
				compare(t, fmt.Sprint(l, d, transposed), got, out, k)
			}
			got := dirty(k * n)
			p := matrixPass(m, k, n)
			p.gradient(cpu.NewTeam(2), got, a, dout, newWeights(l, 1, k, n, 1, matrixOrder(k, n, false)))
			compare(t, fmt.Sprint(l, d, " aᵀ dout"), got, db, m)
		}
	}
}

func TestRepackReplaces(t *testing.T) {
	p := shape{1, 5, 40, 1, []int{4, 4}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}}.problem(t)
	w := Pack(p.f, p.w)
	other := slices.Clone(p.w)
	slices.Reverse(other)
	if !slices.Equal(w.Repack(other).data, Pack(p.f, other).data) {
		t.Error("Repack differs from Pack")
	}
}

// Nothing to sum is not nothing to write.
func TestEmpty(t *testing.T) {
	out := []float32{7, 7, 7, 7}
	e := Plain
	e.Bias = []float32{1, 2}
	Multiply(cpu.NewTeam(2), 2, out, nil, PackMatrix(0, 2, nil, false), e)
	if !slices.Equal(out, []float32{1, 2, 1, 2}) {
		t.Errorf("a product of no columns: %v, want the bias", out)
	}
	Multiply(cpu.NewTeam(2), 0, nil, nil, PackMatrix(3, 2, make([]float32, 6), false), e)
	MultiplyATB(cpu.NewTeam(2), 0, 2, 2, out, nil, nil)
	if !slices.Equal(out, make([]float32, 4)) {
		t.Errorf("a gradient over no rows: %v, want zeros", out)
	}
}

func TestScratchSuffices(t *testing.T) {
	for _, c := range shapes() {
		p := c.problem(t)
		forward, backward := Scratch(p.s, p.batch, p.f, 1)
		if got := used(func(team *cpu.Team) {
			Forward(team, p.s, p.batch, make([]float32, len(p.dout)), p.in, Pack(p.f, p.w), Plain)
		}); got > forward {
			t.Errorf("%v: forward took %d, foretold %d", c, got, forward)
		}
		if got := used(func(team *cpu.Team) {
			BackwardInput(team, p.s, p.batch, make([]float32, len(p.in)), p.dout, PackTransposed(p.f, p.w))
			BackwardWeights(team, p.s, p.batch, p.f, make([]float32, len(p.w)), p.in, p.dout)
		}); got > backward {
			t.Errorf("%v: backward took %d, foretold %d", c, got, backward)
		}
	}
}

// used returns how large the scratch memory of a team's only worker became.
func used(f func(*cpu.Team)) int {
	team := cpu.NewTeam(1)
	f(team)
	return cap(team.Scratch(0, 0))
}

func FuzzGeometry(f *testing.F) {
	f.Add(uint8(1), uint8(3), uint8(16), uint8(1), uint8(8), uint8(9), uint8(3), uint8(3), uint8(1), uint8(2), uint8(1), uint8(1), uint8(1), uint8(0))
	f.Add(uint8(2), uint8(1), uint8(33), uint8(2), uint8(4), uint8(7), uint8(2), uint8(1), uint8(3), uint8(2), uint8(2), uint8(1), uint8(0), uint8(3))
	f.Fuzz(func(t *testing.T, batch, in, out, groups, h, w, kh, kw, sh, sw, dh, dw, begin, end uint8) {
		g := int(groups%3) + 1
		c := shape{
			int(batch%3) + 1, g * (int(in%20) + 1), g * (int(out%50) + 1), g,
			[]int{int(h%20) + 1, int(w%20) + 1}, []int{int(kh%5) + 1, int(kw%5) + 1}, []int{int(sh%4) + 1, int(sw%4) + 1},
			[]int{int(dh%3) + 1, int(dw%3) + 1}, []int{int(begin % 5), int(begin / 5 % 5)}, []int{int(end % 5), int(end / 5 % 5)},
		}
		if _, err := window.New(c.in, c.kernel, c.stride, c.dil, c.begin, c.end, false); err != nil {
			t.Skip(err)
		}
		c.problem(t).check(t)
	})
}
