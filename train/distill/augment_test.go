package distill

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
		out := [c * h * w]float32(a.apply(rng, nil, image, 1, []int{c, h, w}))
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
	out := a.apply(rand.New(rand.NewPCG(1, 2)), nil, images, n, []int{size})
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
	if (&Augment{}).apply(rand.New(rand.NewPCG(1, 2)), nil, images, n, []int{size})[4] != 1 {
		t.Error("no augmentation changed an image")
	}
}
