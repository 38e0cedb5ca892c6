// Package slide computes sums and maxima over sliding windows, channel by
// channel, on float32 in channels-last order: [batch][pixels][channels]. It is
// what depthwise convolution, its gradients and pooling have in common.
package slide

import "github.com/natonnx/natonnx/engine/cpu"

// A Job computes all results of a window that slides over a batch of images, or,
// with the spans of [Backward], of the gradient with respect to the images.
type Job struct {
	Op       Op
	Level    cpu.Level
	Channels int
	To, From [3]int // extents of the results and of what they read
	Spans    Spans
	Out, In  []float32

	Kernel    [3]int
	W         []float32 // of a Sum: [tap][channels]; of Route: as In
	WStep     int       // of a Sum, from one tap to the next: Channels, or 0 if all taps are equal
	Bias, Add []float32 // see Tile
	Low, High float32
}

// How finely work is split: enough pieces for 16 workers, but none that is done
// in less than about a microsecond.
const (
	enoughTasks = 48
	leastFloats = 8 << 10
	leastWidth  = 128 // channels
)

// Run computes all results. A task is some rows of one image and some of the
// channels; tasks use no scratch memory.
func (j *Job) Run(t *cpu.Team, batch int) {
	to, from := j.Channels*volume(j.To), j.Channels*volume(j.From)
	if batch == 0 || to == 0 {
		return
	}
	j.check(batch*to, batch*from)
	row := j.To[2] * j.Channels
	bands := Cut(j.Spans[1], roundUp(max(1, leastFloats/row), sumRows))
	slices := Cut(j.Spans[0], 1)
	tasks := batch * len(slices) * len(bands)
	width := Width(j.Channels, tasks)
	blocks := (j.Channels + width - 1) / width
	t.Do(tasks*blocks, func(_, i int) {
		i, block := i/blocks, i%blocks
		i, band := i/len(bands), i%len(bands)
		image, slice := i/len(slices), i%len(slices)
		c := block * width
		j.band(image*to+c, image*from+c, c, min(width, j.Channels-c), slices[slice], bands[band])
	})
}

// Image computes the results of n channels, from c on, of the only image.
func (j *Job) Image(c, n int) {
	j.check(j.Channels*volume(j.To), j.Channels*volume(j.From))
	for _, slice := range Cut(j.Spans[0], 1) {
		for _, rows := range j.Spans[1] {
			j.band(c, c, c, n, slice, rows)
		}
	}
}

// check panics here, rather than in assembly, where memory is too short.
func (j *Job) check(to, from int) {
	j.Out, j.In = j.Out[:to], j.In[:from]
	switch j.Op {
	case Sum:
		j.W = j.W[:(volume(j.Kernel)-1)*j.WStep+j.Channels]
	case Route:
		j.W = j.W[:from]
	}
	if j.Bias != nil {
		j.Bias = j.Bias[:j.Channels]
	}
	if j.Add != nil {
		j.Add = j.Add[:to]
	}
}

// band computes the results of one slice and a run of rows, in n channels from
// c on; out and in are where these begin.
func (j *Job) band(out, in, c, n int, slice, rows Span) {
	toRow, fromRow := j.To[2]*j.Channels, j.From[2]*j.Channels
	tile := Tile{
		Op: j.Op, Out: j.Out, In: j.In, W: j.W, Add: j.Add,
		OutRow: rows.Step * toRow, InRow: rows.FromStep * fromRow,
		Channels: n, Low: j.Low, High: j.High,
	}
	if j.Bias != nil {
		tile.Bias = j.Bias[c:]
	}
	var few [16]Place
	tile.Places = j.places(few[:0], slice, rows)
	out += (slice.At*j.To[1] + rows.At) * toRow
	in += (slice.From*j.From[1] + rows.From) * fromRow
	for r, tall := 0, 0; r < rows.N; r += tall {
		tall = Piece(rows.N-r, j.Op.Rows())
		for _, cols := range j.Spans[2] {
			tile.Taps = cols.Taps
			tile.InTap, tile.WTap = cols.FromTap*j.Channels, cols.TapStep*j.WStep
			tile.OutCol, tile.InCol = cols.Step*j.Channels, cols.FromStep*j.Channels
			tile.WAt = cols.Tap*j.WStep + c
			tile.Tap, tile.Step, tile.First = float32(cols.Tap), float32(cols.TapStep), -1
			if len(tile.Places) > 0 && cols.Taps > 0 {
				tile.First = tile.Places[0].Tap + tile.Tap
			}
			for q, wide := 0, 0; q < cols.N; q += wide {
				wide = Piece(cols.N-q, TileCols)
				tile.OutAt = out + r*tile.OutRow + cols.At*j.Channels + q*tile.OutCol
				tile.InAt = in + r*tile.InRow + cols.From*j.Channels + q*tile.InCol
				tile.Compute(j.Level, tall, wide)
			}
		}
	}
}

// places returns where the rows of taps begin that a slice and rows meet.
func (j *Job) places(places []Place, slice, rows Span) []Place {
	for kd := range slice.Taps {
		for kh := range rows.Taps {
			row := (slice.Tap+kd*slice.TapStep)*j.Kernel[1] + rows.Tap + kh*rows.TapStep
			places = append(places, Place{
				In:  (kd*slice.FromTap*j.From[1] + kh*rows.FromTap) * j.From[2] * j.Channels,
				W:   row * j.Kernel[2] * j.WStep,
				Tap: float32(row * j.Kernel[2]),
			})
		}
	}
	return places
}

// Piece is the first of the fewest, nearly equal parts of n that are at most most.
func Piece(n, most int) int {
	parts := (n + most - 1) / most
	return (n + parts - 1) / parts
}

// Parts is how many parts a task is to be split into where there are so many
// tasks, so that many workers have something to do.
func Parts(tasks int) int { return (enoughTasks + tasks - 1) / max(tasks, 1) }

// Width is how many channels a task takes, given how many tasks there are if it
// takes all.
func Width(channels, tasks int) int {
	parts := Parts(tasks)
	return max(leastWidth, roundUp((channels+parts-1)/parts, leastWidth))
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func volume(d [3]int) int { return d[0] * d[1] * d[2] }
