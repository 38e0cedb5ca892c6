package depthwise

import (
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/depthwise/span"
	"github.com/natonnx/natonnx/engine/window"
)

// BackwardWeights writes the gradient with respect to the weights into dw, in
// ONNX's order, given the image and the gradient with respect to the results.
func BackwardWeights(t *cpu.Team, s window.Slide, batch, channels int, dw, in, dout []float32) {
	backwardWeights(cpu.Used(), t, s, batch, channels, dw, in, dout)
}

func backwardWeights(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, dw, in, dout []float32) {
	inPixels, outPixels := s.Pixels()
	g := gradient{level: level, channels: channels, slide: s}
	g.in, g.dout = in[:batch*inPixels*channels], dout[:batch*outPixels*channels]
	for d := range g.spans {
		g.spans[d] = span.Forward(s, d)
	}
	// A band of rows of the image and of the results is to stay in the second cache.
	g.spans[1] = span.Cut(g.spans[1], max(1, bandFloats/max(1, s.In[2]*s.Stride[1]*channels)))
	width := width(channels, 1)
	blocks := (channels + width - 1) / width
	parts := min(batch, (enoughTasks+blocks-1)/max(blocks, 1))
	size := s.Taps() * channels
	g.sums = t.Scratch(0, parts*size) // tasks use no scratch memory
	clear(g.sums)
	t.Do(parts*blocks, func(_, i int) {
		part, c := i/blocks, i%blocks*width
		for image := part * batch / parts; image < (part+1)*batch/parts; image++ {
			g.image(image, part*size+c, c, min(width, channels-c))
		}
	})
	g.reduce(dw, parts)
}

const bandFloats = 32 << 10

// A gradient is a computation of the weights' gradient.
type gradient struct {
	level    cpu.Level
	channels int
	slide    window.Slide
	spans    [3][]span.Span
	in, dout []float32
	sums     []float32 // [part][tap][channels], each the sum over some images
}

// image adds what one image contributes to the sums at out, in n channels from
// c on. The results of the tiles are taps; the places are rows of pixels.
func (g *gradient) image(image, out, c, n int) {
	s, channels := g.slide, g.channels
	inRow, doutRow := s.In[2]*channels, s.Out[2]*channels
	tl := tile{
		out: g.sums, add: g.sums, in: g.in, w: g.dout,
		outRow: s.Kernel[2] * channels, outCol: channels,
		inRow: s.Dilation[1] * inRow, inCol: s.Dilation[2] * channels,
		inTap: s.Stride[2] * channels, wTap: channels,
		channels: n, low: None.Min, high: None.Max,
	}
	for _, depth := range g.spans[0] {
		for _, rows := range g.spans[1] {
			tl.places = tl.places[:0]
			for i := range depth.N {
				for j := range rows.N {
					tl.places = append(tl.places, place{
						in: (((image*s.In[0]+depth.From+i*depth.FromStep)*s.In[1])+rows.From+j*rows.FromStep)*inRow + c,
						w:  (((image*s.Out[0]+depth.At+i)*s.Out[1])+rows.At+j)*doutRow + c,
					})
				}
			}
			for _, cols := range g.spans[2] {
				tl.taps = cols.N
				tl.wAt = cols.At * channels
				for kd := range depth.Taps {
					g.taps(&tl, out+(depth.Tap+kd)*s.Kernel[1]*tl.outRow, kd*s.Dilation[0]*s.In[1]*inRow, rows, cols)
				}
			}
		}
	}
}

// taps adds the contributions of a rectangle of pixels to the taps that it meets
// in one slice of the window.
func (g *gradient) taps(tl *tile, out, in int, rows, cols span.Span) {
	for r, tall := 0, 0; r < rows.Taps; r += tall {
		tall = piece(rows.Taps-r, tileRows)
		for q, wide := 0, 0; q < cols.Taps; q += wide {
			wide = piece(cols.Taps-q, tileCols)
			tl.outAt = out + (rows.Tap+r)*tl.outRow + (cols.Tap+q)*tl.outCol
			tl.inAt = in + cols.From*g.channels + r*tl.inRow + q*tl.inCol
			tl.compute(g.level, tall, wide)
		}
	}
}

// reduce adds up the parts, in order, and writes them channels first.
func (g *gradient) reduce(dw []float32, parts int) {
	taps := g.slide.Taps()
	for c := range g.channels {
		for k := range taps {
			sum := float32(0)
			for p := range parts {
				sum += g.sums[(p*taps+k)*g.channels+c]
			}
			dw[c*taps+k] = sum
		}
	}
}
