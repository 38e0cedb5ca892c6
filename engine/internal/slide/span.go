package slide

import "github.com/natonnx/natonnx/engine/window"

// A Span is a run of positions along one dimension of a result that meet the same
// elements of the window, so that kernels need no test for padding: position i of the run is at At + i*Step, and its tap j is element
// Tap + j*TapStep of the window, which meets element
// From + i*FromStep + j*FromTap of the source. All of these lie inside.
type Span struct {
	At, N, Step             int
	Tap, Taps, TapStep      int
	From, FromStep, FromTap int
}

// Spans are those of the three dimensions.
type Spans [3][]Span

// Forward returns the spans of the positions of the window, in order. A position
// that meets nothing but padding has no taps.
func Forward(s window.Slide) Spans {
	return Spans{forward(s, 0), forward(s, 1), forward(s, 2)}
}

func forward(s window.Slide, d int) []Span {
	var spans []Span
	for o := range s.Out[d] {
		first := o*s.Stride[d] - s.Begin[d]
		lo, hi := inside(first, s.Dilation[d], s.In[d], s.Kernel[d])
		spans = extend(spans, Span{
			At: o, N: 1, Step: 1,
			Tap: lo, Taps: hi - lo, TapStep: 1,
			From: first + lo*s.Dilation[d], FromStep: s.Stride[d], FromTap: s.Dilation[d],
		})
	}
	return spans
}

// Backward returns the spans of the image's elements: the source is the result,
// of which a tap has that position where the window's element lies on the
// image's element. Elements that are a stride apart make a run.
func Backward(s window.Slide) Spans {
	return Spans{backward(s, 0), backward(s, 1), backward(s, 2)}
}

func backward(s window.Slide, d int) []Span {
	var spans []Span
	stride, dilation := s.Stride[d], s.Dilation[d]
	every := stride / gcd(stride, dilation) // of the window's elements, those that meet one phase
	for phase := range min(stride, s.In[d]) {
		tap := 0
		for tap < every && (phase+s.Begin[d]-tap*dilation)%stride != 0 {
			tap++
		}
		taps := 0
		if tap < every && tap < s.Kernel[d] {
			taps = (s.Kernel[d]-tap-1)/every + 1
		}
		back := every * dilation / stride
		for i := phase; i < s.In[d]; i += stride {
			first := (i + s.Begin[d] - tap*dilation) / stride
			lo, hi := inside(s.Out[d]-1-first, back, s.Out[d], taps)
			spans = extend(spans, Span{
				At: i, N: 1, Step: stride,
				Tap: tap + lo*every, Taps: hi - lo, TapStep: every,
				From: first - lo*back, FromStep: 1, FromTap: -back,
			})
		}
	}
	return spans
}

// inside returns which k in [0, n) have 0 <= first + k*step < limit.
func inside(first, step, limit, n int) (lo, hi int) {
	if first < 0 {
		lo = min((-first+step-1)/step, n)
	}
	if first < limit {
		hi = min((limit-1-first)/step+1, n)
	}
	return lo, max(lo, hi)
}

// extend appends one position, or lengthens the last run by it.
func extend(spans []Span, p Span) []Span {
	if p.Taps == 0 {
		p.Tap, p.From = 0, 0
	}
	if len(spans) > 0 {
		last := &spans[len(spans)-1]
		follows := p.At == last.At+last.N*last.Step
		if follows && p.Taps == last.Taps && p.Tap == last.Tap && (p.Taps == 0 || p.From == last.From+last.N*last.FromStep) {
			last.N++
			return spans
		}
	}
	return append(spans, p)
}

// Cut returns the spans in pieces of at most n positions.
func Cut(spans []Span, n int) []Span {
	var pieces []Span
	for _, s := range spans {
		for i := 0; i < s.N; i += n {
			pieces = append(pieces, s.Part(i, min(n, s.N-i)))
		}
	}
	return pieces
}

// Part returns n positions of the run from the i-th on.
func (s Span) Part(i, n int) Span {
	s.At += i * s.Step
	if s.Taps > 0 {
		s.From += i * s.FromStep
	}
	s.N = n
	return s
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
