package vec

import (
	"fmt"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
)

// BenchmarkKernels shows for each level how many bytes a second are read and
// written, on one core, in a second-level cache and in memory. copy is what the
// machine can do.
func BenchmarkKernels(b *testing.B) {
	const c = 16
	team := cpu.NewTeam(1)
	by := [4][]float32{random(c, 1), random(c, 2), random(c, 3), random(c, 4)}
	for _, k := range []struct {
		name    string
		tensors int // that pass through
		do      func(s [5][]float32)
	}{
		{"copy", 2, func(s [5][]float32) { copy(s[0], s[1]) }},
		{"Add", 3, func(s [5][]float32) { Add(s[0], s[1], s[2]) }},
		{"Max", 3, func(s [5][]float32) { Max(s[0], s[1], s[2]) }},
		{"Div", 3, func(s [5][]float32) { Div(s[0], s[1], s[2]) }},
		{"Axpy", 3, func(s [5][]float32) { Axpy(s[0], 0.5, s[1]) }},
		{"AddMix4", 6, func(s [5][]float32) { AddMix4(s[0], mixed, [4][]float32(s[1:])) }},
		{"Clamp", 2, func(s [5][]float32) { Clamp(s[0], s[1], 0, 6) }},
		{"ClampGrad", 3, func(s [5][]float32) { ClampGrad(s[0], s[1], s[2], 0, 6) }},
		{"Sum", 1, func(s [5][]float32) { Sum(s[0]) }},
		{"Dot", 2, func(s [5][]float32) { Dot(s[0], s[1]) }},
		{"Dot4", 5, func(s [5][]float32) { Dot4(s[0], [4][]float32(s[1:])) }},
		{"MaxOf", 1, func(s [5][]float32) { MaxOf(s[0]) }},
		{"FirstNonFinite", 1, func(s [5][]float32) { FirstNonFinite(s[0]) }},
		{"Affine", 2, func(s [5][]float32) { Affine(team, s[0], s[1], c, by[0], by[1], nil, 0, 6) }},
		{"AffineAdd", 3, func(s [5][]float32) { Affine(team, s[0], s[1], c, by[0], by[1], s[2], 0, 6) }},
		{"SumRows", 1, func(s [5][]float32) { SumRows(team, by[0], s[0], c) }},
		{"Moments", 1, func(s [5][]float32) { Moments(team, by[0], by[1], s[0], c) }},
		{"NormBackward", 5, func(s [5][]float32) {
			NormBackward(team, Norm{C: c, X: s[0], DY: s[1], DX: s[2], Mean: by[0], InvStd: by[1], Gamma: by[2], DGamma: by[3]})
		}},
		{"NormBackwardClamp", 7, func(s [5][]float32) {
			NormBackward(team, Norm{C: c, X: s[0], DY: s[1], DX: s[2], Y: s[3], DAdd: s[4], Hi: 6, Mean: by[0], InvStd: by[1],
				Gamma: by[2], DGamma: by[3]})
		}},
		{"ToChannelsLast3", 2, func(s [5][]float32) { ToChannelsLast(team, s[0], s[1], 1, 3, len(s[0])/3) }},
		{"ToChannelsFirst3", 2, func(s [5][]float32) { ToChannelsFirst(team, s[0], s[1], 1, 3, len(s[0])/3) }},
		{"ToChannelsLast64", 2, func(s [5][]float32) { ToChannelsLast(team, s[0], s[1], len(s[0])/16384, 64, 256) }},
		{"ToChannelsFirst512x49", 2, func(s [5][]float32) { ToChannelsFirst(team, s[0], s[1], len(s[0])/25088, 512, 49) }},
		{"ToChannelsLast2048x16", 2, func(s [5][]float32) { ToChannelsLast(team, s[0], s[1], len(s[0])/32768, 2048, 16) }},
		{"SGD", 5, func(s [5][]float32) { SGD(s[0], s[1], s[2], 1e-3, 0.9, 1e-4, false) }},
		{"Adam", 7, func(s [5][]float32) { Adam(s[0], s[1], s[2], s[3], 1e-3, 0.9, 0.999, 1e-8, 0, 1) }},
		{"Exp", 2, func(s [5][]float32) { Exp(s[0], s[1]) }},
		{"Sigmoid", 2, func(s [5][]float32) { Sigmoid(s[0], s[1]) }},
		{"Tanh", 2, func(s [5][]float32) { Tanh(s[0], s[1]) }},
		{"HardSwish", 2, func(s [5][]float32) { HardSwish(s[0], s[1]) }},
		{"Softmax10", 2, func(s [5][]float32) { Softmax(s[0], s[1], 10) }},
		{"Softmax1000", 2, func(s [5][]float32) { Softmax(s[0], s[1], 1000) }},
	} {
		before := use
		b.Cleanup(func() { use = before })
		for level := cpu.Portable; level <= cpu.Offered(); level++ {
			for _, size := range []int{256 << 10, 64 << 20} { // bytes of all tensors
				b.Run(fmt.Sprintf("%s/%v/%dK", k.name, level, size>>10), func(b *testing.B) {
					use = at(level)
					var s [5][]float32
					for i := range s {
						s[i] = random(size/4/k.tensors, uint64(i))
					}
					b.SetBytes(int64(size))
					for b.Loop() {
						k.do(s)
					}
				})
			}
		}
	}
}
