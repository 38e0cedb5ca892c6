package pool

import (
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
)

// ResNet's maximum, those of NASBench's cells, and global means, on one worker;
// GB/s counts images and results once.
func BenchmarkMax(b *testing.B) {
	measure(b, func(level cpu.Level, team *cpu.Team, l layer, x, y []float32) func() {
		s := l.slide(b)
		return func() { maximum(level, team, s, l.batch, l.channels, y, x) }
	})
}

func BenchmarkMaxBackward(b *testing.B) {
	measure(b, func(level cpu.Level, team *cpu.Team, l layer, x, y []float32) func() {
		s, dx := l.slide(b), make([]float32, len(x))
		return func() { maximumBackward(level, team, s, l.batch, l.channels, dx, y, x) }
	})
}

func measure(b *testing.B, prepare func(level cpu.Level, team *cpu.Team, l layer, x, y []float32) func()) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, l := range []layer{
		square(1, 112, 64, 3, 2, 1, 1, 1, false),
		square(64, 32, 128, 3, 1, 1, 1, 1, false),
		square(64, 16, 128, 2, 2, 1, 0, 0, false),
	} {
		in, out := l.slide(b).Pixels()
		x, y := make([]float32, l.batch*in*l.channels), make([]float32, l.batch*out*l.channels)
		for i := range x {
			x[i] = r.Float32()
		}
		for _, level := range levels() {
			b.Run(l.String()+" "+level.String(), func(b *testing.B) {
				run := prepare(level, cpu.NewTeam(1), l, x, y)
				for b.Loop() {
					run()
				}
				b.ReportMetric(4*float64(len(x)+len(y))/(float64(b.Elapsed().Nanoseconds())/float64(b.N)), "GB/s")
			})
		}
	}
}

func BenchmarkAverage(b *testing.B) {
	l := square(64, 32, 128, 3, 1, 1, 1, 1, false)
	s, team := l.slide(b), cpu.NewTeam(1)
	x, y := make([]float32, 64*1024*128), make([]float32, 64*1024*128)
	b.Run("forward", func(b *testing.B) {
		for b.Loop() {
			Average(team, s, 64, 128, y, x, false)
		}
	})
	b.Run("backward", func(b *testing.B) {
		for b.Loop() {
			AverageBackward(team, s, 64, 128, x, y, false)
		}
	})
}

func BenchmarkGlobal(b *testing.B) {
	for _, c := range []struct{ batch, pixels, channels int }{{1, 49, 1280}, {1, 49, 512}, {64, 64, 64}, {64, 64, 512}} {
		x, y := make([]float32, c.batch*c.pixels*c.channels), make([]float32, c.batch*c.channels)
		team := cpu.NewTeam(1)
		for name, f := range map[string]func(){
			"average":          func() { GlobalAverage(team, c.batch, c.pixels, c.channels, y, x) },
			"average backward": func() { GlobalAverageBackward(team, c.batch, c.pixels, c.channels, x, y) },
			"max":              func() { GlobalMax(team, c.batch, c.pixels, c.channels, y, x) },
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					f()
				}
				b.ReportMetric(4*float64(len(x)+len(y))/(float64(b.Elapsed().Nanoseconds())/float64(b.N)), "GB/s")
			})
		}
	}
}
