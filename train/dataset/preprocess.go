package dataset

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Preprocess says how an 8-bit picture becomes the input of a network: it is
// resized, its centre is cut out, pixels are scaled to 0..1, and every channel
// is normalized to (pixel - mean) / std. The zero value is "none": pixels as
// 0..1 and nothing else.
type Preprocess struct {
	Mean, Std [3]float64 // of pixels in 0..1, for red, green, blue; Std of all zeros counts as ones
	Size      Size       // what to resize to; zero: do not resize. W 0: the shorter side becomes H
	Crop      Size       // what to cut out of the centre; zero: nothing
}

// A Size is a height and a width in pixels.
type Size struct{ H, W int }

// maxSide bounds what a picture may be resized to.
const maxSide = 1 << 14

// The named ways of preprocessing.
//
// imagenet is what torchvision's classification weights were published with:
// Resize(256), CenterCrop(224) and these statistics. cifar10 holds the means
// and standard deviations of the pixels of the 50,000 training images, as most
// training scripts for CIFAR-10 have them. Some networks for CIFAR-10 were
// trained with ImageNet's statistics: give those as mean=...;std=....
var presets = []struct {
	name string
	p    Preprocess
}{
	{"none", Preprocess{}},
	{"imagenet", Preprocess{
		Mean: [3]float64{0.485, 0.456, 0.406}, Std: [3]float64{0.229, 0.224, 0.225},
		Size: Size{H: 256}, Crop: Size{224, 224},
	}},
	{"cifar10", Preprocess{Mean: [3]float64{0.4914, 0.4822, 0.4465}, Std: [3]float64{0.2470, 0.2435, 0.2616}}},
}

// ParsePreprocess reads "imagenet", "cifar10", "none" or parts of the form
// key=value with semicolons between them; a name may come first and parts then
// change it, as in "imagenet;size=232". The keys:
//
//	mean=R,G,B  of pixels in 0..1; one number stands for all three
//	std=R,G,B   the same; pixels in 0..255 are mean=0;std=0.00392156862745098 (1/255)
//	size=N      resize the shorter side to N; size=HxW: to exactly that
//	crop=N      cut NxN out of the centre; crop=HxW
func ParsePreprocess(s string) (Preprocess, error) {
	var p Preprocess
	for i, part := range strings.Split(s, ";") {
		part = strings.TrimSpace(part)
		key, value, isPair := strings.Cut(part, "=")
		var err error
		switch {
		case !isPair && i == 0:
			p, err = preset(part)
		case !isPair:
			err = fmt.Errorf("%q is no key=value", part)
		default:
			err = p.set(strings.TrimSpace(key), strings.TrimSpace(value))
		}
		if err != nil {
			return Preprocess{}, fmt.Errorf("preprocess %q: %w", s, err)
		}
	}
	if p.Std == [3]float64{1, 1, 1} {
		p.Std = [3]float64{} // one spelling of one meaning
	}
	if err := p.check(); err != nil {
		return Preprocess{}, fmt.Errorf("preprocess %q: %w", s, err)
	}
	return p, nil
}

func preset(name string) (Preprocess, error) {
	for _, known := range presets {
		if known.name == name {
			return known.p, nil
		}
	}
	return Preprocess{}, fmt.Errorf("%q is unknown, want imagenet, cifar10, none, or parts such as mean=0.5;std=0.5;size=256;crop=224", name)
}

func (p *Preprocess) set(key, value string) (err error) {
	switch key {
	case "mean":
		p.Mean, err = parseChannels(value)
	case "std":
		p.Std, err = parseChannels(value)
		if err == nil && p.Std == [3]float64{} {
			err = fmt.Errorf("is 0")
		}
	case "size":
		p.Size, err = parseSize(value)
	case "crop":
		p.Crop, err = parseSize(value)
		if p.Crop.W == 0 {
			p.Crop.W = p.Crop.H
		}
	default:
		return fmt.Errorf("key %q is unknown, want mean, std, size or crop", key)
	}
	if err != nil {
		return fmt.Errorf("%s=%s: %w", key, value, err)
	}
	return nil
}

func parseChannels(s string) ([3]float64, error) {
	parts := strings.Split(s, ",")
	if len(parts) == 1 {
		parts = []string{s, s, s}
	}
	var out [3]float64
	if len(parts) != 3 {
		return out, fmt.Errorf("%d numbers, want one or three", len(parts))
	}
	for i, part := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return out, fmt.Errorf("%q is no number", part)
		}
		out[i] = v
	}
	return out, nil
}

func parseSize(s string) (Size, error) {
	h, w, both := strings.Cut(s, "x")
	sides := []string{h, w}
	if !both {
		sides = sides[:1]
	}
	var out [2]int
	for i, side := range sides {
		n, err := strconv.Atoi(side)
		if err != nil || n < 1 || n > maxSide {
			return Size{}, fmt.Errorf("want N or HxW, each from 1 to %d", maxSide)
		}
		out[i] = n
	}
	return Size{out[0], out[1]}, nil
}

// check finds what no picture could be preprocessed with.
func (p Preprocess) check() error {
	for c := range 3 {
		if m := p.Mean[c]; !(m >= 0 && m <= 1) {
			return fmt.Errorf("mean %v: want 0 to 1, since pixels are scaled to 0..1 first", m)
		}
		if s := p.Std[c]; p.Std != [3]float64{} && !(s >= 1e-6 && s <= 1) {
			return fmt.Errorf("std %v: want more than 0 and at most 1, since pixels are scaled to 0..1 first", s)
		}
	}
	for _, side := range []int{p.Size.H, p.Size.W, p.Crop.H, p.Crop.W} {
		if side < 0 || side > maxSide {
			return fmt.Errorf("a side of %d pixels: want at most %d", side, maxSide)
		}
	}
	if (p.Crop.H == 0) != (p.Crop.W == 0) || p.Size.H == 0 && p.Size.W != 0 {
		return fmt.Errorf("size %v, crop %v: a height or width is missing", p.Size, p.Crop)
	}
	exact := p.Size.W > 0 && (p.Crop.H > p.Size.H || p.Crop.W > p.Size.W)
	shorter := p.Size.W == 0 && p.Size.H > 0 && min(p.Crop.H, p.Crop.W) > p.Size.H
	if exact || shorter {
		return fmt.Errorf("crop %v does not fit into size %v", p.Crop, p.Size)
	}
	return nil
}

// String returns the canonical spelling: "none", or every part that does
// something. Names other than "none" are spelled out, so that a report says
// what was done. [ParsePreprocess] reads it back.
func (p Preprocess) String() string {
	var parts []string
	if p.Mean != [3]float64{} {
		parts = append(parts, "mean="+channels(p.Mean))
	}
	if p.Std != [3]float64{} && p.Std != [3]float64{1, 1, 1} {
		parts = append(parts, "std="+channels(p.Std))
	}
	if p.Size != (Size{}) {
		parts = append(parts, "size="+p.Size.String())
	}
	if crop := p.Crop; crop != (Size{}) {
		if crop.H == crop.W {
			crop.W = 0 // crop=N means NxN
		}
		parts = append(parts, "crop="+crop.String())
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ";")
}

func channels(v [3]float64) string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	if v[0] == v[1] && v[1] == v[2] {
		return number(v[0])
	}
	return number(v[0]) + "," + number(v[1]) + "," + number(v[2])
}

// String writes a size as [ParsePreprocess] reads it.
func (s Size) String() string {
	if s.W == 0 {
		return strconv.Itoa(s.H)
	}
	return fmt.Sprintf("%dx%d", s.H, s.W)
}

// ForInput fills in what p leaves open about the size of pictures, for a
// network whose input is h x w. Without a size, pictures are resized so that
// as much of them as possible is seen: for a square input the shorter side
// becomes h, for others the whole picture is stretched to h x w. Without a
// crop, the centre is cut out. A p that states a crop is returned as it is.
// Pictures that have the input's size already are never resampled.
func (p Preprocess) ForInput(h, w int) Preprocess {
	if p.Crop != (Size{}) {
		return p
	}
	p.Crop = Size{h, w}
	if p.Size != (Size{}) {
		return p
	}
	p.Size = Size{H: h}
	if h != w {
		p.Size.W = w
	}
	return p
}

// normalized returns, for every channel and 8-bit value, the value that the
// network sees, computed in float32 as torchvision's ToTensor and Normalize do.
func (p Preprocess) normalized() *[3][256]float32 {
	var table [3][256]float32
	for c := range table {
		mean, std := float32(p.Mean[c]), float32(p.Std[c])
		if p.Std == [3]float64{} {
			std = 1
		}
		for v := range table[c] {
			table[c][v] = (float32(v)/255 - mean) / std
		}
	}
	return &table
}

// sameForAll reports whether all channels are normalized alike.
func (p Preprocess) sameForAll() bool {
	return p.Mean[0] == p.Mean[1] && p.Mean[1] == p.Mean[2] && p.Std[0] == p.Std[1] && p.Std[1] == p.Std[2]
}

// A cut says which part of a picture, resized to h x w, is wanted.
type cut struct {
	size    Size // of the whole picture once it is resized
	at      Size // the upper left corner of the part
	cropped Size // the size of the part
}

// cut works out the sizes for a picture of h x w pixels: a shorter side of
// Size, the longer one rounded down, and a crop whose corner is rounded half
// to even, all as torchvision does.
func (p Preprocess) cut(from Size) (cut, error) {
	c := cut{size: from}
	switch {
	case p.Size.W > 0:
		c.size = p.Size
	case p.Size.H > 0 && from.W <= from.H:
		c.size = Size{p.Size.H * from.H / from.W, p.Size.H}
	case p.Size.H > 0:
		c.size = Size{p.Size.H, p.Size.H * from.W / from.H}
	}
	c.cropped = c.size
	if p.Crop != (Size{}) {
		if p.Crop.H > c.size.H || p.Crop.W > c.size.W {
			return c, fmt.Errorf("is %v pixels, want at least the crop's %v: give a size to resize to", c.size, p.Crop)
		}
		c.cropped = p.Crop
	}
	half := func(n int) int { return int(math.RoundToEven(float64(n) / 2)) }
	c.at = Size{half(c.size.H - c.cropped.H), half(c.size.W - c.cropped.W)}
	return c, nil
}
