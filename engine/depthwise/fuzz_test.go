package depthwise

import (
	"math/rand/v2"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/window"
)

// FuzzGeometry convolves two-dimensional images of any small geometry, at every
// level, against the definition.
func FuzzGeometry(f *testing.F) {
	f.Add(uint8(7), uint8(9), uint8(3), uint8(3), uint8(1), uint8(2), uint8(1), uint8(1), uint8(0x11), uint8(0x12), uint8(17))
	f.Add(uint8(1), uint8(5), uint8(4), uint8(1), uint8(3), uint8(1), uint8(2), uint8(4), uint8(0x50), uint8(0x07), uint8(33))
	f.Fuzz(func(t *testing.T, height, width, kh, kw, sh, sw, dh, dw, padH, padW, channels uint8) {
		s, err := window.New(
			[]int{int(height % 16), int(width % 16)}, []int{int(kh % 8), int(kw % 8)}, []int{int(sh % 6), int(sw % 6)},
			[]int{int(dh % 5), int(dw % 5)}, []int{int(padH >> 4), int(padW >> 4)}, []int{int(padH & 15), int(padW & 15)}, channels%2 == 0)
		if err != nil {
			t.Skip(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		c := int(channels % 40)
		inPixels, outPixels := s.Pixels()
		in, dout, w := random(r, inPixels*c), random(r, outPixels*c), random(r, s.Taps()*c)
		want := newNaive(s, 1, c, in, w, dout)
		packed, team := Pack(c, s.Kernel, w), cpu.NewTeam(1)
		for _, level := range levels() {
			out, din, dw := filled(len(dout)), filled(len(in)), filled(len(w))
			forward(level, team, s, 1, c, out, in, packed, None)
			backwardInput(level, team, s, 1, c, din, dout, packed)
			backwardWeights(level, team, s, 1, c, dw, in, dout)
			near(t, "out", out, want.out, want.outSize)
			near(t, "din", din, want.din, want.dinSize)
			near(t, "dw", dw, want.dw, want.dwSize)
		}
	})
}
