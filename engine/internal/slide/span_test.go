package slide

import (
	"testing"

	"github.com/natonnx/natonnx/engine/window"
)

// A meeting is a position of the window, one of its elements, and the element of
// the image under that.
type meeting struct{ position, tap, element int }

// Both kinds of spans must name every meeting of the definition once, and every
// result once.
func TestSpansMeetWhatTheWindowMeets(t *testing.T) {
	tried := 0
	for in := range 9 {
		for kernel := 1; kernel <= 4; kernel++ {
			for stride := 1; stride <= 4; stride++ {
				for dilation := 1; dilation <= 4; dilation++ {
					for pads := range 16 {
						s, err := window.New([]int{in}, []int{kernel}, []int{stride}, []int{dilation}, []int{pads % 4}, []int{pads / 4}, pads%3 == 0)
						if err != nil {
							continue
						}
						tried++
						check(t, s)
					}
				}
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d windows tried", tried)
	}
}

func check(t *testing.T, s window.Slide) {
	want := map[meeting]int{}
	for o := range s.Out[2] {
		for k := range s.Kernel[2] {
			if i := o*s.Stride[2] - s.Begin[2] + k*s.Dilation[2]; i >= 0 && i < s.In[2] {
				want[meeting{o, k, i}] = 1
			}
		}
	}
	for name, c := range map[string]struct {
		spans   []Span
		results int
		of      func(at, tap, from int) meeting
	}{
		"forward":  {Forward(s)[2], s.Out[2], func(at, tap, from int) meeting { return meeting{at, tap, from} }},
		"backward": {Backward(s)[2], s.In[2], func(at, tap, from int) meeting { return meeting{from, tap, at} }},
	} {
		got, results := map[meeting]int{}, map[int]int{}
		for _, p := range c.spans {
			for i := range p.N {
				results[p.At+i*p.Step]++
				for j := range p.Taps {
					got[c.of(p.At+i*p.Step, p.Tap+j*p.TapStep, p.From+i*p.FromStep+j*p.FromTap)]++
				}
			}
		}
		if len(results) != c.results || len(got) != len(want) {
			t.Fatalf("%s of %+v: %d results, want %d, and %d meetings, want %d", name, s, len(results), c.results, len(got), len(want))
		}
		for at, n := range results {
			if n != 1 || at < 0 || at >= c.results {
				t.Fatalf("%s of %+v: result %d is there %d times", name, s, at, n)
			}
		}
		for m, n := range got {
			if n != 1 || want[m] != 1 {
				t.Fatalf("%s of %+v: %+v is there %d times, want %d", name, s, m, n, want[m])
			}
		}
	}
}
