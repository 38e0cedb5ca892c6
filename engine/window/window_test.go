package window

import "testing"

// The figures are those of the ONNX specification's formulas and of the shapes
// that PyTorch documents for the same layers.
func TestOut(t *testing.T) {
	for _, c := range []struct {
		name                          string
		in, kernel, stride, dil, b, e []int
		ceil                          bool
		want                          [3]int
	}{
		{"3x3 same", []int{32, 32}, []int{3, 3}, nil, nil, []int{1, 1}, []int{1, 1}, false, [3]int{1, 32, 32}},
		{"ResNet stem", []int{224, 224}, []int{7, 7}, []int{2, 2}, nil, []int{3, 3}, []int{3, 3}, false, [3]int{1, 112, 112}},
		{"dilated", []int{7, 7}, []int{3, 3}, nil, []int{2, 2}, nil, nil, false, [3]int{1, 3, 3}},
		{"one dimension", []int{10}, []int{4}, []int{3}, nil, nil, nil, false, [3]int{1, 1, 3}},
		{"floor", []int{4, 4}, []int{3, 3}, []int{2, 2}, nil, nil, nil, false, [3]int{1, 1, 1}},
		{"ceil", []int{4, 4}, []int{3, 3}, []int{2, 2}, nil, nil, nil, true, [3]int{1, 2, 2}},
		{"ceil, but the last window would begin past the image", []int{3, 3}, []int{2, 2}, []int{3, 3}, nil, nil, nil, true, [3]int{1, 1, 1}},
		{"three dimensions", []int{4, 5, 6}, []int{2, 2, 2}, nil, nil, nil, nil, false, [3]int{3, 4, 5}},
	} {
		s, err := New(c.in, c.kernel, c.stride, c.dil, c.b, c.e, c.ceil)
		if err != nil || s.Out != c.want {
			t.Errorf("%s: %v, %v, want %v", c.name, s.Out, err, c.want)
		}
	}
}

func TestImpossible(t *testing.T) {
	for name, f := range map[string]func() (Slide, error){
		"rank 4":           func() (Slide, error) { return New([]int{1, 1, 1, 1}, []int{1, 1, 1, 1}, nil, nil, nil, nil, false) },
		"window too large": func() (Slide, error) { return New([]int{2}, []int{3}, nil, nil, nil, nil, false) },
		"stride 0":         func() (Slide, error) { return New([]int{2}, []int{1}, []int{0}, nil, nil, nil, false) },
		"negative padding": func() (Slide, error) { return New([]int{2}, []int{1}, nil, nil, []int{-1}, nil, false) },
		"short list":       func() (Slide, error) { return New([]int{2, 2}, []int{1}, nil, nil, nil, nil, false) },
	} {
		if s, err := f(); err == nil {
			t.Errorf("%s: accepted as %+v", name, s)
		}
	}
}
