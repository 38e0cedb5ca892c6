package dataset

import "image"

// fromYCbCr converts the planes of a JPEG as libjpeg does by default, and with
// it Pillow and torchvision: colours stored at half the resolution are
// interpolated with a triangle filter ("fancy upsampling"), where Go's image
// package repeats them.
func (p *picture) fromYCbCr(img *image.YCbCr) {
	across, down := chromaSteps(img.SubsampleRatio)
	w, h := (p.W+across-1)/across, (p.H+down-1)/down // samples of a colour plane
	u := &upsampler{across: across, down: down, sums: make([]int32, w)}
	cb, cr := make([]byte, w*across), make([]byte, w*across)
	p.eachRow(func(y int, row []byte) {
		near := y / down
		far := min(max(near+2*(y%2)-1, 0), h-1) // the next nearest, if down is 2
		at := func(plane []byte, y int) []byte { return plane[y*img.CStride:][:w] }
		u.row(cb, at(img.Cb, near), at(img.Cb, far), y%2)
		u.row(cr, at(img.Cr, near), at(img.Cr, far), y%2)
		toRGB(row, img.Y[y*img.YStride:][:p.W], cb, cr)
	})
}

// An upsampler brings rows of a colour plane to the picture's width and height.
// The triangle filter weighs the two nearest samples 3:1 in each direction and
// alternates how it rounds.
type upsampler struct {
	across, down int     // pixels that one sample covers
	sums         []int32 // of the samples in two rows
}

// row computes a row of the picture from the two rows of samples nearest to
// it; odd is 1 for the lower one of two rows that share a nearest one.
func (u *upsampler) row(out, near, far []byte, odd int) {
	switch {
	case u.across == 1 && u.down == 2:
		round := int32(1 + odd)
		for x, v := range near {
			out[x] = byte((3*int32(v) + int32(far[x]) + round) >> 2)
		}
	case u.across == 2 && u.down == 1 && len(near) > 2:
		for x, v := range near {
			u.sums[x] = int32(v)
		}
		widen(out, u.sums, 1, 2, 2)
	case u.across == 2 && u.down == 2 && len(near) > 2:
		for x, v := range near {
			u.sums[x] = 3*int32(v) + int32(far[x])
		}
		widen(out, u.sums, 8, 7, 4)
	default: // full resolution, a quarter of it, or too narrow for libjpeg's filter
		for x := range out {
			out[x] = near[x/u.across]
		}
	}
}

// chromaSteps returns how many pixels one colour sample covers.
func chromaSteps(r image.YCbCrSubsampleRatio) (across, down int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// widen doubles a row: every sample becomes a left pixel, mixed 3:1 with the
// sample before it, and a right one, mixed with the sample after it. The sums
// are divided by 2^shift after a rounding term that differs for both.
func widen(out []byte, in []int32, left, right int32, shift uint) {
	last := len(in) - 1
	before := in[0]
	for x, v := range in {
		after := in[min(x+1, last)]
		out[2*x] = byte((3*v + before + left) >> shift)
		out[2*x+1] = byte((3*v + after + right) >> shift)
		before = v
	}
}

// toRGB converts a row by JFIF's matrix in fixed point with 16 bits, each
// product rounded as in libjpeg.
func toRGB(row, luma, cb, cr []byte) {
	const half = 1 << 15
	for x, l := range luma {
		y, b, r := int32(l), int32(cb[x])-128, int32(cr[x])-128
		px := row[3*x:][:3]
		px[0] = clamp(y + (91881*r+half)>>16)
		px[1] = clamp(y + (-22554*b-46802*r+half)>>16)
		px[2] = clamp(y + (116130*b+half)>>16)
	}
}

func clamp(v int32) byte {
	if uint32(v) <= 255 {
		return byte(v)
	}
	return byte(^v >> 31) // 0 below, 255 above
}
