// Package augment changes images at random, so that a network never sees the same
// one twice.
package augment

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// An Augment says what is done to images. The zero value does nothing. Data that
// are no pictures of channels, rows and columns are mixed and nothing else.
type Augment struct {
	Flip  bool    // every second picture is mirrored, left to right
	Shift float64 // how far pictures are moved at most, as a share of each side; zeros move in
	// Cutout is the side of a square that becomes 0, in pixels, around a random
	// pixel (DeVries and Taylor, Improved Regularization of Convolutional Neural
	// Networks with Cutout, 2017).
	Cutout int
	Mix    float64 // the share of images that are blended with another one of their batch
}

// Check reports what is wrong with an Augment.
func (a *Augment) Check() error {
	if !(a.Shift >= 0 && a.Shift < 1) || !(a.Mix >= 0 && a.Mix <= 1) || a.Cutout < 0 {
		return fmt.Errorf("augmentation shifts by %v, cuts out %d pixels and mixes %v, want shares from 0 to 1 and no negative number", a.Shift, a.Cutout, a.Mix)
	}
	return nil
}

// Apply writes n changed images of a shape to dst, which it makes larger where
// needed, and returns that.
func (a *Augment) Apply(rng *rand.Rand, dst, images []float32, n int, shape []int) []float32 {
	size := len(images) / n
	if cap(dst) < len(images) {
		dst = make([]float32, len(images))
	}
	dst = dst[:len(images)]
	for i := range n {
		a.move(rng, dst[i*size:][:size], images[i*size:][:size], shape)
		a.cut(rng, dst[i*size:][:size], shape)
	}
	a.mix(rng, dst, n, size)
	return dst
}

// move copies an image, mirrored and shifted.
func (a *Augment) move(rng *rand.Rand, dst, image []float32, shape []int) {
	if len(shape) != 3 {
		copy(dst, image)
		return
	}
	h, w := shape[1], shape[2]
	flip := a.Flip && rng.IntN(2) == 1
	down, right := offset(rng, a.Shift, h), offset(rng, a.Shift, w)
	clear(dst)
	from, to := max(0, right), min(w, w+right)
	for row := range shape[0] * h {
		y := row % h
		if y+down < 0 || y+down >= h {
			continue
		}
		src, out := image[row*w:][:w], dst[(row+down)*w:][:w]
		if !flip {
			copy(out[from:to], src[from-right:])
			continue
		}
		for x := from; x < to; x++ {
			out[x] = src[w-1-(x-right)]
		}
	}
}

// cut sets a square to 0.
func (a *Augment) cut(rng *rand.Rand, image []float32, shape []int) {
	if a.Cutout == 0 || len(shape) != 3 {
		return
	}
	h, w := shape[1], shape[2]
	top, left := rng.IntN(h)-a.Cutout/2, rng.IntN(w)-a.Cutout/2
	from, to := max(0, left), min(w, left+a.Cutout)
	for row := range shape[0] * h {
		if y := row % h; y >= top && y < top+a.Cutout {
			clear(image[row*w:][from:to])
		}
	}
}

// offset draws a whole number of pixels.
func offset(rng *rand.Rand, share float64, side int) int {
	most := int(math.Round(share * float64(side)))
	return rng.IntN(2*most+1) - most
}

// mix blends images with their neighbours in the batch, whose order is random.
func (a *Augment) mix(rng *rand.Rand, images []float32, n, size int) {
	if a.Mix == 0 || n < 2 {
		return
	}
	first := append([]float32{}, images[:size]...)
	for i := range n {
		if rng.Float64() >= a.Mix {
			continue
		}
		other := first
		if i+1 < n {
			other = images[(i+1)*size:][:size]
		}
		mine, share := images[i*size:][:size], rng.Float32()
		for k, v := range other {
			mine[k] += share * (v - mine[k])
		}
	}
}
