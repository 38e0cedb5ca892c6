package depthwise

import (
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
)

// The depthwise layers of MobileNetV2 at 224 pixels, and some at CIFAR's sizes.
var benchmarks = []layer{
	square(1, 112, 32, 3, 1, 1, 1, 1),
	square(1, 112, 96, 3, 2, 1, 1, 1),
	square(1, 56, 144, 3, 1, 1, 1, 1),
	square(1, 56, 144, 3, 2, 1, 1, 1),
	square(1, 28, 192, 3, 1, 1, 1, 1),
	square(1, 28, 192, 3, 2, 1, 1, 1),
	square(1, 14, 384, 3, 1, 1, 1, 1),
	square(1, 14, 576, 3, 1, 1, 1, 1),
	square(1, 14, 576, 3, 2, 1, 1, 1),
	square(1, 7, 960, 3, 1, 1, 1, 1),
	square(1, 14, 512, 3, 1, 1, 1, 1),
	square(64, 32, 96, 3, 1, 1, 1, 1),
	square(64, 16, 144, 3, 2, 1, 1, 1),
	square(64, 8, 384, 3, 1, 1, 1, 1),
	square(64, 8, 384, 5, 1, 1, 2, 2),
}

func BenchmarkForward(b *testing.B) {
	measure(b, func(level cpu.Level, team *cpu.Team, l layer, x, w, y []float32) func() {
		s, packed := l.slide(b), Pack(l.channels, l.slide(b).Kernel, w)
		return func() { forward(level, team, s, l.batch, l.channels, y, x, packed, None) }
	})
}

func BenchmarkBackwardInput(b *testing.B) {
	measure(b, func(level cpu.Level, team *cpu.Team, l layer, x, w, y []float32) func() {
		s, packed := l.slide(b), Pack(l.channels, l.slide(b).Kernel, w)
		return func() { backwardInput(level, team, s, l.batch, l.channels, x, y, packed) }
	})
}

func BenchmarkBackwardWeights(b *testing.B) {
	measure(b, func(level cpu.Level, team *cpu.Team, l layer, x, w, y []float32) func() {
		s := l.slide(b)
		return func() { backwardWeights(level, team, s, l.batch, l.channels, w, x, y) }
	})
}

// measure runs what is prepared for every layer and level, on one worker.
// Products with padding are not counted.
func measure(b *testing.B, prepare func(level cpu.Level, team *cpu.Team, l layer, x, w, y []float32) func()) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, l := range benchmarks {
		s := l.slide(b)
		in, out := s.Pixels()
		x, y := random(r, l.batch*in*l.channels), random(r, l.batch*out*l.channels)
		w := random(r, s.Taps()*l.channels)
		products := 0
		eachTap(s, func(_, _, _ int) { products++ })
		for _, level := range levels() {
			b.Run(l.String()+" "+level.String(), func(b *testing.B) {
				run := prepare(level, cpu.NewTeam(1), l, x, w, y)
				for b.Loop() {
					run()
				}
				ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(2*float64(products*l.batch*l.channels)/ns, "GFLOP/s")
				b.ReportMetric(4*float64(len(x)+len(y))/ns, "GB/s")
			})
		}
	}
}
