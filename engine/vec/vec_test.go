package vec

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
)

// eachLevel runs a test at every level that this machine offers.
func eachLevel(t *testing.T, test func(t *testing.T)) {
	before := use
	t.Cleanup(func() { use = before })
	for level := cpu.Portable; level <= cpu.Offered(); level++ {
		t.Run(level.String(), func(t *testing.T) {
			use = at(level)
			test(t)
		})
	}
}

// random returns numbers between -4 and 4, the same on every call.
func random(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	s := make([]float32, n)
	for i := range s {
		s[i] = r.Float32()*8 - 4
	}
	return s
}

var inf = float32(math.Inf(1))

func relu6(v float64) float64 { return min(6, max(0, v)) }

var mixed = [4]float32{1.25, -0.5, 2, 0.75}

// elementwise lists what computes each element of in[0] from the elements of
// all of in, and what that is in double precision. Tolerance is relative to
// 1 + |want|; none: the result is correctly rounded.
var elementwise = []struct {
	name      string
	inputs    int
	do        func(in [][]float32)
	want      func(v []float64) float64
	tolerance float64
}{
	{"Add", 3, func(in [][]float32) { Add(in[0], in[1], in[2]) }, func(v []float64) float64 { return v[1] + v[2] }, 0},
	{"Add in place", 2, func(in [][]float32) { Add(in[0], in[0], in[1]) }, func(v []float64) float64 { return v[0] + v[1] }, 0},
	{"Sub", 3, func(in [][]float32) { Sub(in[0], in[1], in[2]) }, func(v []float64) float64 { return v[1] - v[2] }, 0},
	{"Sub in place", 2, func(in [][]float32) { Sub(in[0], in[1], in[0]) }, func(v []float64) float64 { return v[1] - v[0] }, 0},
	{"Mul", 3, func(in [][]float32) { Mul(in[0], in[1], in[2]) }, func(v []float64) float64 { return v[1] * v[2] }, 0},
	{"Div", 3, func(in [][]float32) { Div(in[0], in[1], in[2]) }, func(v []float64) float64 { return v[1] / v[2] }, 0},
	{"Max", 3, func(in [][]float32) { Max(in[0], in[1], in[2]) }, func(v []float64) float64 { return max(v[1], v[2]) }, 0},
	{"Min", 3, func(in [][]float32) { Min(in[0], in[1], in[2]) }, func(v []float64) float64 { return min(v[1], v[2]) }, 0},
	{"Scale", 2, func(in [][]float32) { Scale(in[0], in[1], 1.5) }, func(v []float64) float64 { return v[1] * 1.5 }, 0},
	{"Offset", 2, func(in [][]float32) { Offset(in[0], in[1], 1.5) }, func(v []float64) float64 { return v[1] + 1.5 }, 0},
	{"Axpy", 2, func(in [][]float32) { Axpy(in[0], 1.25, in[1]) }, func(v []float64) float64 { return v[0] + 1.25*v[1] }, 4e-7},
	{"Mix4", 3, func(in [][]float32) { Mix4(in[0], mixed, [4][]float32{in[1], in[2], in[0], in[1]}) },
		func(v []float64) float64 { return 1.25*v[1] - 0.5*v[2] + 2*v[0] + 0.75*v[1] }, 1e-6},
	{"AddMix4", 3, func(in [][]float32) { AddMix4(in[0], mixed, [4][]float32{in[1], in[2], in[0], in[1]}) },
		func(v []float64) float64 { return 1.25*v[1] - 0.5*v[2] + 3*v[0] + 0.75*v[1] }, 1e-6},
	{"Fill", 1, func(in [][]float32) { Fill(in[0], 7) }, func(v []float64) float64 { return 7 }, 0},
	{"Clamp", 2, func(in [][]float32) { Clamp(in[0], in[1], -1, 2) }, func(v []float64) float64 { return min(2, max(-1, v[1])) }, 0},
	{"relu", 1, func(in [][]float32) { Clamp(in[0], in[0], 0, inf) }, func(v []float64) float64 { return max(0, v[0]) }, 0},
	{"ClampGrad", 3, func(in [][]float32) { ClampGrad(in[0], in[1], in[2], -1, 2) }, func(v []float64) float64 { return clampSlope(v[2]) * v[1] }, 0},
	{"AddClampGrad", 3, func(in [][]float32) { AddClampGrad(in[0], in[1], in[2], -1, 2) },
		func(v []float64) float64 { return v[0] + clampSlope(v[2])*v[1] }, 0},
	{"Exp", 2, func(in [][]float32) { Exp(in[0], in[1]) }, func(v []float64) float64 { return math.Exp(v[1]) }, 2e-7},
	{"Sigmoid", 1, func(in [][]float32) { Sigmoid(in[0], in[0]) }, func(v []float64) float64 { return 1 / (1 + math.Exp(-v[0])) }, 2e-7},
	{"Tanh", 2, func(in [][]float32) { Tanh(in[0], in[1]) }, func(v []float64) float64 { return math.Tanh(v[1]) }, 2e-7},
	{"HardSwish", 2, func(in [][]float32) { HardSwish(in[0], in[1]) }, func(v []float64) float64 { return v[1] * relu6(v[1]+3) / 6 }, 3e-7},
	{"HardSigmoid", 2, func(in [][]float32) { HardSigmoid(in[0], in[1], 0.2, 0.5) },
		func(v []float64) float64 { return min(1, max(0, float64(float32(0.2))*v[1]+0.5)) }, 2e-7},
	{"SigmoidGrad", 3, func(in [][]float32) { SigmoidGrad(in[0], in[1], in[2]) }, func(v []float64) float64 { return v[1] * v[2] * (1 - v[2]) }, 2e-6},
	{"TanhGrad", 3, func(in [][]float32) { TanhGrad(in[0], in[1], in[2]) }, func(v []float64) float64 { return v[1] * (1 - v[2]*v[2]) }, 2e-6},
	{"HardSwishGrad", 3, func(in [][]float32) { HardSwishGrad(in[0], in[1], in[2]) }, func(v []float64) float64 {
		const h = 1e-6
		f := func(x float64) float64 { return x * relu6(x+3) / 6 }
		return v[1] * (f(v[2]+h) - f(v[2]-h)) / (2 * h)
	}, 1e-5},
	{"HardSigmoidGrad", 3, func(in [][]float32) { HardSigmoidGrad(in[0], in[1], in[2], 0.25) }, func(v []float64) float64 {
		if v[2] <= 0 || v[2] >= 1 {
			return 0
		}
		return 0.25 * v[1]
	}, 0},
	{"Erf", 2, func(in [][]float32) { Erf(in[0], in[1]) }, func(v []float64) float64 { return math.Erf(v[1]) }, 0},
	{"Log", 2, func(in [][]float32) { Log(in[0], in[1]) }, func(v []float64) float64 { return math.Log(v[1]) }, 0},
	{"Sqrt", 2, func(in [][]float32) { Sqrt(in[0], in[1]) }, func(v []float64) float64 { return math.Sqrt(v[1]) }, 0},
}

func clampSlope(v float64) float64 {
	if -1 < v && v < 2 {
		return 1
	}
	return 0
}

// near says whether got is want, to a tolerance relative to 1 + |want|.
func near(got float32, want, tolerance float64) bool {
	if math.IsNaN(want) || math.IsInf(want, 0) || tolerance == 0 {
		return float32(want) == got || math.IsNaN(want) && got != got
	}
	return math.Abs(float64(got)-want) <= tolerance*(1+math.Abs(want))
}

func TestElementwise(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, f := range elementwise {
			for n := range 131 {
				offset := n % 5
				in, before := make([][]float32, f.inputs), make([][]float32, f.inputs)
				for k := range in {
					before[k] = random(n+offset+20, uint64(100*k+n))
					in[k] = slices.Clone(before[k])
				}
				part := func(s [][]float32) [][]float32 {
					p := make([][]float32, len(s))
					for k := range s {
						p[k] = s[k][offset : offset+n]
					}
					return p
				}
				f.do(part(in))
				v := make([]float64, f.inputs)
				for i, got := range in[0] {
					for k := range v {
						v[k] = float64(before[k][i])
					}
					if i < offset || i >= offset+n {
						if got != before[0][i] {
							t.Fatalf("%s of %d elements wrote element %d", f.name, n, i-offset)
						}
					} else if want := f.want(v); !near(got, want, f.tolerance) {
						t.Fatalf("%s of %v: %v, want %v (element %d of %d)", f.name, v, got, want, i-offset, n)
					}
				}
			}
		}
	})
}

func TestShortestLengthRules(t *testing.T) {
	for _, f := range elementwise {
		for short := range f.inputs {
			in := make([][]float32, f.inputs)
			for k := range in {
				in[k] = random(40, uint64(k))
			}
			before := slices.Clone(in[0])
			in[short] = in[short][:17]
			f.do(in)
			if short > 0 && !slices.Equal(in[0][17:], before[17:]) {
				t.Errorf("%s wrote beyond the shortest slice", f.name)
			}
		}
	}
}

// special are numbers that arithmetic treats in ways of their own.
var special = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 3, -3, 6, 1e-45, 1.2e-38, 3e38, -3e38, inf, -inf, float32(math.NaN())}

// TestSpecialNumbers gives every pair of special numbers to everything.
func TestSpecialNumbers(t *testing.T) {
	var pairs [2][]float32
	for _, a := range special {
		for _, b := range special {
			pairs[0] = append(pairs[0], a)
			pairs[1] = append(pairs[1], b)
		}
	}
	eachLevel(t, func(t *testing.T) {
		for _, f := range elementwise {
			if f.name == "Axpy" || strings.HasSuffix(f.name, "Mix4") {
				continue // the product may overflow, where it is rounded before the sum
			}
			compute := func() []float32 {
				in := [][]float32{slices.Clone(pairs[0]), pairs[0], pairs[1]}
				if f.inputs == 2 {
					in[1] = pairs[1]
				}
				f.do(in[:f.inputs])
				return in[0]
			}
			level := use
			got := compute()
			use = &portable
			want := compute()
			use = level
			for i := range got {
				if !near(got[i], float64(want[i]), 4e-7) {
					t.Errorf("%s of %v and %v: %v, want %v", f.name, pairs[0][i], pairs[1][i], got[i], want[i])
				}
			}
		}
	})
}

func TestNaNSurvives(t *testing.T) {
	nan := float32(math.NaN())
	eachLevel(t, func(t *testing.T) {
		for name, f := range map[string]func(a, one []float32){
			"Clamp":     func(a, _ []float32) { Clamp(a, a, 0, 6) },
			"relu":      func(a, _ []float32) { Clamp(a, a, 0, inf) },
			"Max":       func(a, one []float32) { Max(a, a, one) },
			"Max, 2nd":  func(a, one []float32) { Max(a, one, a) },
			"Min":       func(a, one []float32) { Min(a, a, one) },
			"Min, 2nd":  func(a, one []float32) { Min(a, one, a) },
			"Exp":       func(a, _ []float32) { Exp(a, a) },
			"Sigmoid":   func(a, _ []float32) { Sigmoid(a, a) },
			"Tanh":      func(a, _ []float32) { Tanh(a, a) },
			"HardSwish": func(a, _ []float32) { HardSwish(a, a) },
			"ClampGrad": func(a, one []float32) { ClampGrad(a, a, one, 0, 6) },
			"Affine":    func(a, one []float32) { Affine(cpu.NewTeam(1), a, a, 3, one, one, nil, 0, 6) },
			"MaxOf":     func(a, _ []float32) { a[20] = MaxOf(a) },
		} {
			for i := range 37 {
				a, one := make([]float32, 37), make([]float32, 37)
				Fill(one, 1)
				a[i] = nan
				f(a, one)
				at := i
				if name == "MaxOf" {
					at = 20
				}
				if a[at] == a[at] && !(name == "Affine" && i == 36) {
					t.Errorf("%s made %v of NaN at %d", name, a[at], i)
				}
			}
		}
		dx := make([]float32, 20)
		one, v := slices.Repeat([]float32{1}, 20), slices.Repeat([]float32{nan}, 20)
		if ClampGrad(dx, one, v, 0, 6); !slices.Equal(dx, one) {
			t.Error("ClampGrad stops the gradient where NaN was clamped")
		}
	})
}

func TestReductions(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for n := range 300 {
			a, b := random(n+1, 1)[1:], random(n, 2)
			sum, dot, most := 0.0, 0.0, math.Inf(-1)
			for i := range a {
				sum += float64(a[i])
				dot += float64(a[i]) * float64(b[i])
				most = max(most, float64(a[i]))
			}
			if got := Sum(a); math.Abs(got-sum) > 1e-11 {
				t.Errorf("sum of %d: %v, want %v", n, got, sum)
			}
			if got := Dot(a, b); math.Abs(got-dot) > 1e-11 {
				t.Errorf("dot product of %d: %v, want %v", n, got, dot)
			}
			c := random(n, 3)
			four := Dot4(b, [4][]float32{a, c, b, c})
			for k, with := range [][]float32{a, c, b, c} {
				if want := Dot(b, with); math.Abs(float64(four[k])-want) > 1e-5*(1+float64(n)) {
					t.Errorf("product %d of four of %d: %v, want %v", k, n, four[k], want)
				}
			}
			for i := range a {
				a[i] -= 10 // so that 0 would be wrong
			}
			if n > 0 {
				most = float64(slices.Max(a))
			}
			if got := MaxOf(a); float64(got) != most {
				t.Errorf("maximum of %d: %v, want %v", n, got, most)
			}
		}
	})
}

func TestFirstNonFinite(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for n := range 150 {
			a := random(n, 3)
			for i := range a {
				a[i] *= 8e37 // up to the largest finite numbers
			}
			if got := FirstNonFinite(a); got != -1 {
				t.Fatalf("%v among %d finite numbers", got, n)
			}
			for i := n - 1; i >= 0; i-- {
				a[i] = []float32{inf, -inf, float32(math.NaN()), math.Float32frombits(0x7f800001)}[i%4]
				if got := FirstNonFinite(a); got != i {
					t.Fatalf("%d, want %d of %d", got, i, n)
				}
			}
		}
	})
}

func TestParallelCoversOnce(t *testing.T) {
	for _, n := range []int{0, 1, piece, piece + 1, 5*piece - 1} {
		counts := make([]float32, n)
		Parallel(cpu.NewTeam(3), n, func(from, to int) { Offset(counts[from:to], counts[from:to], 1) })
		if i := slices.IndexFunc(counts, func(v float32) bool { return v != 1 }); i >= 0 {
			t.Errorf("%d: element %d was visited %v times", n, i, counts[i])
		}
	}
}

// TestAccuracy tries a function at numbers of every magnitude.
func TestAccuracy(t *testing.T) {
	var x []float32
	for bits := uint32(0); bits < 0xff<<23; bits += 9973 {
		v := math.Float32frombits(bits)
		x = append(x, v, -v)
	}
	for v := float32(-110); v < 110; v += 0.003 {
		x = append(x, v)
	}
	got := make([]float32, len(x))
	eachLevel(t, func(t *testing.T) {
		for _, f := range []struct {
			name      string
			do        func(dst, a []float32)
			want      func(float64) float64
			tolerance float64
		}{
			{"Exp", Exp, math.Exp, 1.2e-7},
			{"Sigmoid", Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, 2e-7},
			{"Tanh", Tanh, math.Tanh, 2e-7},
		} {
			f.do(got, x)
			worst := 0.0
			for i, v := range x {
				want := f.want(float64(v))
				if float32(want) == got[i] {
					continue
				}
				// Below the normal numbers, only so many digits exist.
				off := math.Abs(float64(got[i])-want) / max(math.Abs(want), 0x1p-126)
				if !(off <= f.tolerance) && !(math.Abs(want) < 0x1p-126 && f.name == "Sigmoid") {
					t.Fatalf("%s(%v) = %v, want %v", f.name, v, got[i], want)
				}
				worst = max(worst, min(off, 1))
			}
			t.Logf("%s: largest relative error %.2g", f.name, worst)
		}
	})
}

func TestSoftmax(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, c := range []int{1, 2, 10, 17, 1000} {
			const rows = 5
			x := random(rows*c+1, 4) // and a row that is not complete
			Scale(x[c:2*c], x[c:2*c], 1e4)
			soft, log := slices.Clone(x), slices.Clone(x)
			Softmax(soft, soft, c)
			LogSoftmax(log, log, c)
			for r := range rows {
				row := x[r*c:][:c]
				most, sum := float64(slices.Max(row)), 0.0
				for _, v := range row {
					sum += math.Exp(float64(v) - most)
				}
				for i, v := range row {
					want := float64(v) - most - math.Log(sum)
					if got := soft[r*c+i]; !near(got, math.Exp(want), 3e-7) {
						t.Fatalf("softmax of %v among %d: %v, want %v", v, c, got, math.Exp(want))
					}
					if got := log[r*c+i]; !near(got, want, 3e-7) {
						t.Fatalf("logarithm of softmax of %v among %d: %v, want %v", v, c, got, want)
					}
				}
			}
			if c > 1 && soft[rows*c] != x[rows*c] {
				t.Error("softmax of a row that is not complete")
			}
		}
	})
}

func TestTransposes(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, s := range [][3]int{{0, 3, 4}, {1, 1, 1}, {2, 3, 1024}, {1, 8, 8}, {2, 24, 16}, {3, 17, 9}, {1, 64, 196},
			{2, 100, 131}, {1, 2048, 49}, {2, 65, 4097}, {1, 16, 0}} {
			batch, channels, pixels := s[0], s[1], s[2]
			src := random(batch*channels*pixels, 5)
			last, first := make([]float32, len(src)+1), make([]float32, len(src)+1)
			team := cpu.NewTeam(2)
			ToChannelsLast(team, last, src, batch, channels, pixels)
			for i, got := range last[:len(src)] {
				b, p, c := i/(channels*pixels), i/channels%pixels, i%channels
				if want := src[(b*channels+c)*pixels+p]; got != want {
					t.Fatalf("%v: image %d, pixel %d, channel %d is %v, want %v", s, b, p, c, got, want)
				}
			}
			ToChannelsFirst(team, first, last, batch, channels, pixels)
			if !slices.Equal(first[:len(src)], src) {
				t.Errorf("%v: there and back again is not the same", s)
			}
			if last[len(src)] != 0 || first[len(src)] != 0 {
				t.Errorf("%v: wrote beyond the end", s)
			}
		}
	})
}

// FuzzLevelsAgree compares assembly with plain Go on arbitrary bits.
func FuzzLevelsAgree(f *testing.F) {
	for _, n := range []int{0, 1, 17, 100} {
		bytes := make([]byte, 4*n)
		for i := range bytes {
			bytes[i] = byte(i * i)
		}
		f.Add(bytes)
	}
	before := use
	f.Cleanup(func() { use = before })
	f.Fuzz(func(t *testing.T, bytes []byte) {
		a := make([]float32, len(bytes)/4)
		for i := range a {
			b := bytes[4*i:]
			a[i] = math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
		}
		b := slices.Clone(a)
		slices.Reverse(b)
		compute := func(level cpu.Level, do func(in [][]float32)) []float32 {
			use = at(level)
			in := [][]float32{slices.Clone(a), slices.Clone(b), slices.Clone(a)}
			do(in)
			return in[0]
		}
		for _, e := range elementwise {
			if e.tolerance > 0 {
				continue // rounding may differ, and overflow with it
			}
			want := compute(cpu.Portable, e.do)
			for level := cpu.AVX2; level <= cpu.Offered(); level++ {
				got := compute(level, e.do)
				for i := range got {
					if got[i] != want[i] && (got[i] == got[i] || want[i] == want[i]) {
						t.Fatalf("%s at %v: %v, want %v", e.name, level, got[i], want[i])
					}
				}
				use = at(level)
				if got, want := FirstNonFinite(a), firstNonFinite(a); got != want {
					t.Fatalf("first number that is not finite: %d, want %d", got, want)
				}
			}
		}
	})
}

func firstNonFinite(a []float32) int {
	return slices.IndexFunc(a, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) })
}
