package depthwise

import (
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/engine/internal/slide"
	"github.com/natonnx/natonnx/engine/window"
)

// BackwardWeights writes the gradient with respect to the weights into dw, in
// ONNX's order, given the image and the gradient with respect to the results.
func BackwardWeights(t *cpu.Team, s window.Slide, batch, channels int, dw, in, dout []float32) {
	backwardWeights(cpu.Used(), t, s, batch, channels, dw, in, dout)
}

// bandFloats is how much of an image a band of rows is, so that it stays in the
// second cache.
const bandFloats = 32 << 10

func backwardWeights(level cpu.Level, t *cpu.Team, s window.Slide, batch, channels int, dw, in, dout []float32) {
	inPixels, outPixels := s.Pixels()
	g := gradient{level: level, channels: channels, slide: s, spans: slide.Forward(s)}
	g.in, g.dout = in[:batch*inPixels*channels], dout[:batch*outPixels*channels]
	g.spans[1] = slide.Cut(g.spans[1], max(1, bandFloats/max(1, s.In[2]*s.Stride[1]*channels)))
	width := slide.Width(channels, 1)
	blocks := (channels + width - 1) / width
	parts := min(batch, slide.Parts(blocks))
	size := s.Taps() * channels
	g.sums = t.Scratch(0, max(parts, 1)*size) // tasks use no scratch memory
	clear(g.sums)
	t.Do(parts*blocks, func(_, i int) {
		part, c := i/blocks, i%blocks*width
		for image := part * batch / parts; image < (part+1)*batch/parts; image++ {
			g.image(image, part*size+c, c, min(width, channels-c))
		}
	})
	for p := 1; p < parts; p++ {
		for i, v := range g.sums[p*size : (p+1)*size] {
			g.sums[i] += v
		}
	}
	transpose(dw, g.sums[:size], channels)
}

// A gradient is a computation of the weights' gradient.
type gradient struct {
	level    cpu.Level
	channels int
	slide    window.Slide
	spans    slide.Spans
	in, dout []float32
	sums     []float32 // [part][tap][channels], each the sum over some images
}

// image adds what one image contributes to the sums at out, in n channels from
// c on. The results of the tiles are taps; the places are rows of pixels.
func (g *gradient) image(image, out, c, n int) {
	s, channels := g.slide, g.channels
	inRow, doutRow := s.In[2]*channels, s.Out[2]*channels
	tile := slide.Tile{
		Out: g.sums, Add: g.sums, In: g.in, W: g.dout,
		OutRow: s.Kernel[2] * channels, OutCol: channels,
		InRow: s.Dilation[1] * inRow, InCol: s.Dilation[2] * channels,
		InTap: s.Stride[2] * channels, WTap: channels,
		Channels: n, Low: None.Min, High: None.Max,
	}
	for _, depth := range g.spans[0] {
		for _, rows := range g.spans[1] {
			tile.Places = tile.Places[:0]
			for i := range depth.N {
				for j := range rows.N {
					tile.Places = append(tile.Places, slide.Place{
						In: (((image*s.In[0]+depth.From+i*depth.FromStep)*s.In[1])+rows.From+j*rows.FromStep)*inRow + c,
						W:  (((image*s.Out[0]+depth.At+i)*s.Out[1])+rows.At+j)*doutRow + c,
					})
				}
			}
			for _, cols := range g.spans[2] {
				tile.Taps = cols.N
				tile.WAt = cols.At * channels
				for kd := range depth.Taps {
					g.taps(&tile, out+(depth.Tap+kd)*s.Kernel[1]*tile.OutRow, kd*s.Dilation[0]*s.In[1]*inRow, rows, cols)
				}
			}
		}
	}
}

// taps adds the contributions of a rectangle of pixels to the taps that it meets
// in one slice of the window, whose results and first elements begin at out and in.
func (g *gradient) taps(tile *slide.Tile, out, in int, rows, cols slide.Span) {
	for r, tall := 0, 0; r < rows.Taps; r += tall {
		tall = slide.Piece(rows.Taps-r, slide.Sum.Rows())
		for q, wide := 0, 0; q < cols.Taps; q += wide {
			wide = slide.Piece(cols.Taps-q, slide.TileCols)
			tile.OutAt = out + (rows.Tap+r)*tile.OutRow + (cols.Tap+q)*tile.OutCol
			tile.InAt = in + cols.From*g.channels + r*tile.InRow + q*tile.InCol
			tile.Compute(g.level, tall, wide)
		}
	}
}

// transpose writes [tap][channels] channels first.
func transpose(dw, sums []float32, channels int) {
	if channels == 0 {
		return
	}
	taps := len(sums) / channels
	for k := range taps {
		for c, v := range sums[k*channels : (k+1)*channels] {
			dw[c*taps+k] = v
		}
	}
}
