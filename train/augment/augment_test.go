package augment

import (
	"math/rand/v2"
	"testing"
)

// Every pixel of a moved picture is that of the original at one common offset,
// mirrored or not, or zero; and all offsets and both sides come up.
func TestMove(t *testing.T) {
	const c, h, w = 2, 6, 8
	image := make([]float32, c*h*w)
	for i := range image {
		image[i] = float32(i + 1)
	}
	// moved looks a picture up pixel by pixel.
	moved := func(flip bool, down, right int) [c * h * w]float32 {
		var out [c * h * w]float32
		for i := range out {
			k, y, x := i/(h*w), i/w%h-down, i%w-right
			if y < 0 || y >= h || x < 0 || x >= w {
				continue
			}
			if flip {
				x = w - 1 - x
			}
			out[i] = image[(k*h+y)*w+x]
		}
		return out
	}
	known := map[[c * h * w]float32]bool{}
	for _, flip := range []bool{false, true} {
		for down := -2; down <= 2; down++ {
			for right := -2; right <= 2; right++ {
				known[moved(flip, down, right)] = true
			}
		}
	}
	a, rng := &Augment{Flip: true, Shift: 0.3}, rand.New(rand.NewPCG(1, 2)) // 0.3 of 6 and of 8 pixels are about 2
	met := map[[c * h * w]float32]bool{}
	for range 2000 {
		out := [c * h * w]float32(a.Apply(rng, nil, image, 1, []int{c, h, w}))
		if !known[out] {
			t.Fatalf("%v is no mirrored or shifted picture", out)
		}
		met[out] = true
	}
	if len(met) != len(known) {
		t.Errorf("%d of %d ways to move came up", len(met), len(known))
	}
}

// A mixed image lies between itself and the next one; about as many are mixed as
// should be.
func TestMix(t *testing.T) {
	const n, size = 1000, 3
	images := make([]float32, n*size)
	for i := range images {
		images[i] = float32(i / size)
	}
	a := &Augment{Mix: 0.3}
	out := a.Apply(rand.New(rand.NewPCG(1, 2)), nil, images, n, []int{size})
	mixed := 0
	for i := range n {
		now, next := out[i*size], float32((i+1)%n)
		if now < min(float32(i), next) || now > max(float32(i), next) || now != out[i*size+2] {
			t.Fatalf("image %d is %v", i, out[i*size:][:size])
		}
		if now != float32(i) {
			mixed++
		}
	}
	if mixed < 250 || mixed > 350 {
		t.Errorf("%d of 1000 images were mixed, want about 300", mixed)
	}
	if (&Augment{}).Apply(rand.New(rand.NewPCG(1, 2)), nil, images, n, []int{size})[4] != 1 {
		t.Error("no augmentation changed an image")
	}
}

// A cut-out is a square of zeros around a pixel of the picture, cut off at its
// sides, the same in all channels.
func TestCutout(t *testing.T) {
	const c, h, w, side = 2, 8, 10, 4
	a, rng := &Augment{Cutout: side}, rand.New(rand.NewPCG(3, 3))
	met := map[[4]int]bool{}
	for range 2000 {
		image := make([]float32, c*h*w)
		for i := range image {
			image[i] = 1
		}
		out := a.Apply(rng, nil, image, 1, []int{c, h, w})
		box := [4]int{h, w, -1, -1} // of the zeros
		zeros := 0
		for i, v := range out[:h*w] {
			if out[h*w+i] != v {
				t.Fatal("the channels differ")
			}
			if v == 0 {
				zeros++
				y, x := i/w, i%w
				box = [4]int{min(box[0], y), min(box[1], x), max(box[2], y), max(box[3], x)}
			}
		}
		if high, wide := box[2]-box[0]+1, box[3]-box[1]+1; zeros != high*wide || high > side || wide > side || high < side/2 || wide < side/2 {
			t.Fatalf("%d zeros within %v", zeros, box)
		}
		met[box] = true
	}
	if len(met) != h*w {
		t.Errorf("%d places, want one for each of %d pixels", len(met), h*w)
	}
}
