package conv

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/natonnx/natonnx/engine/cpu"
)

// benchWorkers runs f, a computation of that many multiply-adds, with one
// worker and with one for each core. It reports the rate of the fastest run:
// other programs use the machine too.
func benchWorkers(b *testing.B, name string, products int, f func(t *cpu.Team)) {
	for _, workers := range []string{"one", "all"} {
		team := cpu.NewTeam(map[string]int{"one": 1}[workers])
		b.Run(name+"/workers="+workers, func(b *testing.B) {
			best := time.Hour
			for b.Loop() {
				start := time.Now()
				f(team)
				best = min(best, time.Since(start))
			}
			b.ReportMetric(2*float64(products)/best.Seconds()/1e9, "GFLOP/s")
		})
	}
}

// The kernels alone, with operands that stay in the first-level cache: what
// everything else is to be measured against.
func BenchmarkTiles(b *testing.B) {
	const k, calls = 256, 1000
	for _, l := range levels() {
		rows, width := tiles[l].rows, tiles[l].wide
		t := tile{in: aligned(rows * k), weights: aligned(k * width), segments: []segment{{n: k}}, width: width, channels: width}
		g := gradientTile{in: aligned(k * rows), inStep: rows, dout: t.weights, doutStep: width, runs: []run{{n: k}}, rows: rows, width: width}
		for r := range rows {
			t.at, t.to = append(t.at, r*k), append(t.to, r*width)
		}
		benchWorkers(b, l.String()+"/forward", calls*rows*k*width, func(team *cpu.Team) {
			team.Do(10, func(int, int) {
				mine := t
				mine.out = aligned(rows * width)
				for range calls / 10 {
					mine.run(l)
				}
			})
		})
		benchWorkers(b, l.String()+"/weights", calls*rows*k*width, func(team *cpu.Team) {
			team.Do(10, func(int, int) {
				mine := g
				mine.sum = aligned(rows * width)
				for range calls / 10 {
					mine.run(l)
				}
			})
		})
	}
}

func BenchmarkMatrix(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{256, 512, 1024} {
		x, y, out := randoms(r, n*n), randoms(r, n*n), make([]float32, n*n)
		w := PackMatrix(n, n, y, false)
		benchWorkers(b, fmt.Sprint("AB/", n), n*n*n, func(t *cpu.Team) { Multiply(t, n, out, x, w, Plain) })
		benchWorkers(b, fmt.Sprint("ATB/", n), n*n*n, func(t *cpu.Team) { MultiplyATB(t, n, n, n, out, x, y) })
	}
}

func square(batch, channels, out, size, kernel, stride, pad int) shape {
	return shape{batch, channels, out, 1, []int{size, size}, []int{kernel, kernel}, []int{stride, stride}, nil, []int{pad, pad}, []int{pad, pad}}
}

// Layers of known networks: ResNet-20 for 32x32 images, ResNet-18 and
// MobileNetV2 for 224x224.
var layers = []struct {
	name string
	shape
}{
	{"resnet20/3-16", square(64, 3, 16, 32, 3, 1, 1)},
	{"resnet20/16-16", square(64, 16, 16, 32, 3, 1, 1)},
	{"resnet20/16-32s2", square(64, 16, 32, 32, 3, 2, 1)},
	{"resnet20/32-32", square(64, 32, 32, 16, 3, 1, 1)},
	{"resnet20/64-64", square(64, 64, 64, 8, 3, 1, 1)},
	{"resnet18/stem", square(1, 3, 64, 224, 7, 2, 3)},
	{"resnet18/64-64", square(1, 64, 64, 56, 3, 1, 1)},
	{"resnet18/64-128s2", square(1, 64, 128, 56, 3, 2, 1)},
	{"resnet18/128-128", square(1, 128, 128, 28, 3, 1, 1)},
	{"resnet18/256-256", square(1, 256, 256, 14, 3, 1, 1)},
	{"resnet18/512-512", square(1, 512, 512, 7, 3, 1, 1)},
	{"mobilenet2/16-96", square(1, 16, 96, 112, 1, 1, 0)},
	{"mobilenet2/96-24", square(1, 96, 24, 56, 1, 1, 0)},
	{"mobilenet2/32-192", square(1, 32, 192, 28, 1, 1, 0)},
	{"mobilenet2/384-64", square(1, 384, 64, 14, 1, 1, 0)},
	{"mobilenet2/160-960", square(1, 160, 960, 7, 1, 1, 0)},
	{"mobilenet2/320-1280", square(1, 320, 1280, 7, 1, 1, 0)},
}

func BenchmarkLayers(b *testing.B) {
	for _, l := range layers {
		p := l.problem(b)
		_, positions := p.s.Pixels()
		products := p.batch * positions * p.s.Taps() * p.f.In * p.f.Out
		w, wt := Pack(p.f, p.w), PackTransposed(p.f, p.w)
		out, din, dw := make([]float32, len(p.dout)), make([]float32, len(p.in)), make([]float32, len(p.w))
		benchWorkers(b, l.name+"/forward", products, func(t *cpu.Team) { Forward(t, p.s, p.batch, out, p.in, w, Plain) })
		benchWorkers(b, l.name+"/input", products, func(t *cpu.Team) { BackwardInput(t, p.s, p.batch, din, p.dout, wt) })
		benchWorkers(b, l.name+"/weights", products, func(t *cpu.Team) { BackwardWeights(t, p.s, p.batch, p.f, dw, p.in, p.dout) })
	}
}

func BenchmarkRepack(b *testing.B) {
	f := Filter{64, 64, 1, [3]int{1, 3, 3}}
	from := make([]float32, 64*64*9)
	for name, w := range map[string]*Weights{"forward": Pack(f, from), "transposed": PackTransposed(f, from)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(4 * len(from)))
			for b.Loop() {
				w.Repack(from)
			}
		})
	}
}
