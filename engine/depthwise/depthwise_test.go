package depthwise

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
)

func TestAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range layers() {
		s := l.slide(t)
		inPixels, outPixels := s.Pixels()
		in := random(r, l.batch*inPixels*l.channels)
		dout := random(r, l.batch*outPixels*l.channels)
		w := random(r, s.Taps()*l.channels)
		want := newNaive(s, l.batch, l.channels, in, w, dout)
		packed := Pack(l.channels, s.Kernel, w)
		for _, level := range levels() {
			t.Run(l.String()+" "+level.String(), func(t *testing.T) {
				for _, workers := range []int{1, 5} {
					team := cpu.NewTeam(workers)
					out, din, dw := filled(len(dout)), filled(len(in)), filled(len(w))
					forward(level, team, s, l.batch, l.channels, out, in, packed, None)
					backwardInput(level, team, s, l.batch, l.channels, din, dout, packed)
					backwardWeights(level, team, s, l.batch, l.channels, dw, in, dout)
					near(t, "out", out, want.out, want.outSize)
					near(t, "din", din, want.din, want.dinSize)
					near(t, "dw", dw, want.dw, want.dwSize)
				}
			})
		}
	}
}

// filled is memory that holds something, which results must overwrite.
func filled(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(math.NaN())
	}
	return v
}

func TestSameOnAnyNumberOfWorkers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, l := range []layer{square(9, 14, 40, 3, 1, 1, 1, 1), square(1, 30, 150, 5, 2, 1, 2, 2)} {
		s := l.slide(t)
		inPixels, outPixels := s.Pixels()
		in, dout := random(r, l.batch*inPixels*l.channels), random(r, l.batch*outPixels*l.channels)
		w := random(r, s.Taps()*l.channels)
		packed := Pack(l.channels, s.Kernel, w)
		for _, level := range levels() {
			var first [3][]float32
			for _, workers := range []int{1, 2, 5} {
				team := cpu.NewTeam(workers)
				got := [3][]float32{filled(len(dout)), filled(len(in)), filled(len(w))}
				forward(level, team, s, l.batch, l.channels, got[0], in, packed, None)
				backwardInput(level, team, s, l.batch, l.channels, got[1], dout, packed)
				backwardWeights(level, team, s, l.batch, l.channels, got[2], in, dout)
				if workers == 1 {
					first = got
				}
				for i := range got {
					if !slices.Equal(got[i], first[i]) {
						t.Errorf("%v %v: result %d on %d workers differs from that on one", l, level, i, workers)
					}
				}
			}
		}
	}
}

func TestEpilogue(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	inf := float32(math.Inf(1))
	l := square(2, 9, 37, 3, 1, 1, 1, 1)
	s := l.slide(t)
	n := 2 * 81 * 37
	in, w := random(r, n), random(r, 9*37)
	in[1234] = float32(math.NaN())
	bias, add := random(r, 37), random(r, n)
	packed := Pack(37, s.Kernel, w)
	for _, e := range []Epilogue{
		{Bias: bias, Min: -inf, Max: inf},
		{Add: add, Min: 0, Max: inf},
		{Bias: bias, Add: add, Min: 0, Max: 6},
		{Min: -1, Max: 0.5},
	} {
		for _, level := range levels() {
			plain, got := filled(n), filled(n)
			forward(level, cpu.NewTeam(2), s, 2, 37, plain, in, packed, None)
			if e.Add != nil { // in place, as a network's sum would
				copy(got, add)
				e.Add = got
			}
			forward(level, cpu.NewTeam(2), s, 2, 37, got, in, packed, e)
			nans := 0
			for i, v := range plain {
				if e.Bias != nil {
					v += bias[i%37]
				}
				if e.Add != nil {
					v += add[i]
				}
				if v != v {
					nans++
				}
				if want := max(e.Min, min(e.Max, v)); math.Float32bits(got[i]) != math.Float32bits(want) && got[i] != want && (got[i] == got[i] || want == want) {
					t.Fatalf("%v: result %d is %g, want %g", level, i, got[i], want)
				}
			}
			if nans != 9 {
				t.Errorf("%v: %d results without limits are NaN, want the 9 that meet it", level, nans)
			}
		}
	}
}

func TestRepack(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	a, b := random(r, 5*6), random(r, 5*6)
	p := Pack(5, [3]int{1, 2, 3}, a)
	p.Repack(b)
	if want := Pack(5, [3]int{1, 2, 3}, b); !slices.Equal(p.values, want.values) {
		t.Error("repacked weights differ from packed ones")
	}
}
