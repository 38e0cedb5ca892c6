// Package depthwise convolves each channel of an image with a window of its
// own, forwards and backwards, on float32 in channels-last order:
// [batch][pixels][channels].
//
// One kernel, [slide.Tile], does all three: for the gradient of the weights, the
// window's elements are the results and the pixels are summed over.
package depthwise

// Weights are the windows of all channels in the order that kernels read.
type Weights struct {
	channels, taps int
	values         []float32 // [tap][channels]
}

// Pack returns the Weights of w, in ONNX's order [channels][1][depth][height][width].
func Pack(channels int, kernel [3]int, w []float32) *Weights {
	p := &Weights{channels: channels, taps: kernel[0] * kernel[1] * kernel[2]}
	p.values = make([]float32, channels*p.taps)
	p.Repack(w)
	return p
}

// Repack replaces the values of packed weights by w, in the order of [Pack].
func (p *Weights) Repack(w []float32) {
	for c := range p.channels {
		for k, v := range w[c*p.taps : (c+1)*p.taps] {
			p.values[k*p.channels+c] = v
		}
	}
}
