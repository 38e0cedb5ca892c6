// Package window describes how a window slides over an image: the geometry that
// convolution, depthwise convolution and pooling share.
package window

import "fmt"

// A Slide is a window sliding over an image of up to three dimensions: depth,
// height, width. Images of fewer have extent 1 in front.
type Slide struct {
	In       [3]int // extents of the image
	Out      [3]int // extents of the result: how many positions the window takes
	Kernel   [3]int
	Stride   [3]int
	Dilation [3]int
	Begin    [3]int // padding before the first element
	End      [3]int // padding after the last element
}

// New returns the Slide of the given spatial lists, all of the same length of 1
// to 3. Nil lists mean stride 1, dilation 1, no padding. With ceil, a last
// window that lies partly outside counts too, where it begins inside the image
// or its leading padding (ceil_mode of ONNX's pooling).
func New(in, kernel, stride, dilation, begin, end []int, ceil bool) (Slide, error) {
	s := Slide{}
	if len(in) < 1 || len(in) > 3 {
		return s, fmt.Errorf("%d spatial dimensions, want 1 to 3", len(in))
	}
	for _, f := range []struct {
		name       string
		to         *[3]int
		from       []int
		absent, lo int
	}{
		{"input", &s.In, in, 1, 0}, {"kernel_shape", &s.Kernel, kernel, 1, 1}, {"strides", &s.Stride, stride, 1, 1},
		{"dilations", &s.Dilation, dilation, 1, 1}, {"pads", &s.Begin, begin, 0, 0}, {"pads", &s.End, end, 0, 0},
	} {
		if err := fill(f.to, f.from, len(in), f.absent, f.lo); err != nil {
			return s, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for d := range s.Out {
		s.Out[d] = s.positions(d, ceil)
		if s.Out[d] < 1 && s.In[d] > 0 {
			return s, fmt.Errorf("the window of %d does not fit into %d with padding %d and %d", s.Extent(d), s.In[d], s.Begin[d], s.End[d])
		}
	}
	return s, nil
}

// fill writes a list of n values behind leading ones that stand for absent dimensions.
func fill(to *[3]int, from []int, n, absent, lo int) error {
	for d := range to {
		to[d] = absent
	}
	if from == nil {
		return nil
	}
	if len(from) != n {
		return fmt.Errorf("%d values, want %d", len(from), n)
	}
	for i, v := range from {
		if v < lo || v > 1<<30 {
			return fmt.Errorf("value %d is %d, want %d or more", i, v, lo)
		}
		to[3-n+i] = v
	}
	return nil
}

// Extent is how many elements of a dimension the dilated window spans.
func (s Slide) Extent(d int) int { return (s.Kernel[d]-1)*s.Dilation[d] + 1 }

func (s Slide) positions(d int, ceil bool) int {
	room := s.In[d] + s.Begin[d] + s.End[d] - s.Extent(d)
	if room < 0 {
		return 0
	}
	n := room/s.Stride[d] + 1
	if ceil && room%s.Stride[d] != 0 && n*s.Stride[d] < s.In[d]+s.Begin[d] {
		n++
	}
	return n
}

// Taps is the number of elements of the window.
func (s Slide) Taps() int { return s.Kernel[0] * s.Kernel[1] * s.Kernel[2] }

// Pixels returns how many pixels the image and the result have.
func (s Slide) Pixels() (in, out int) {
	return s.In[0] * s.In[1] * s.In[2], s.Out[0] * s.Out[1] * s.Out[2]
}
