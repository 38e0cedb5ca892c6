package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
)

// A picture is 8-bit pixels, row by row, with the channels of a pixel side by
// side: three (red, green, blue), or one.
type picture struct {
	Size
	channels int
	pix      []byte
}

// reset makes p a picture of that form; its pixels are undefined.
func (p *picture) reset(s Size, channels int) {
	p.Size, p.channels = s, channels
	p.pix = grow(p.pix, s.H*s.W*channels)
}

// grow returns a slice of n elements, in b's memory where that is enough.
func grow[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	return b[:n]
}

// Limits on pictures: a few bytes of a file can claim any size. The number of
// pixels is the one from which on Pillow warns of decompression bombs.
const (
	maxPixels      = 89_478_485
	maxPictureSide = 65_535
)

// formats lists the formats of pictures that people have, by their first
// bytes. Those without a decoder are named in errors.
var formats = []struct {
	name, magic string
	config      func(*bytes.Reader) (image.Config, error)
	decode      func(*bytes.Reader) (image.Image, error)
}{
	{"JPEG", "\xff\xd8\xff",
		func(r *bytes.Reader) (image.Config, error) { return jpeg.DecodeConfig(r) },
		func(r *bytes.Reader) (image.Image, error) { return jpeg.Decode(r) }},
	{"PNG", "\x89PNG\r\n\x1a\n",
		func(r *bytes.Reader) (image.Config, error) { return png.DecodeConfig(r) },
		func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) }},
	{name: "WebP", magic: "RIFF"},
	{name: "BMP", magic: "BM"},
	{name: "GIF", magic: "GIF8"},
	{name: "TIFF", magic: "II*\x00"},
	{name: "TIFF", magic: "MM\x00*"},
	{name: "PPM", magic: "P6"},
	{name: "PGM", magic: "P5"},
}

// extensions are those that make a file a picture when a folder is searched:
// torchvision's list. What a file really holds is told by its content.
var extensions = map[string]bool{
	".jpg": true, ".jpeg": true, ".png": true, ".ppm": true, ".bmp": true,
	".pgm": true, ".tif": true, ".tiff": true, ".webp": true, ".gif": true,
}

// decodeFile reads a JPEG or PNG file as [Open] says.
func (p *picture) decodeFile(file []byte) error {
	for _, f := range formats {
		if !bytes.HasPrefix(file, []byte(f.magic)) {
			continue
		}
		if f.decode == nil {
			return fmt.Errorf("is a %s picture, want JPEG or PNG", f.name)
		}
		head, err := f.config(bytes.NewReader(file))
		if err != nil {
			return fmt.Errorf("damaged %s: %w", f.name, err)
		}
		if err := checkSize(Size{head.Height, head.Width}); err != nil {
			return err
		}
		img, err := f.decode(bytes.NewReader(file))
		if err != nil {
			return fmt.Errorf("damaged %s: %w", f.name, err)
		}
		p.from(img)
		return nil
	}
	if len(file) == 0 {
		return errors.New("is empty, want a JPEG or PNG picture")
	}
	return fmt.Errorf("starts with %q, want a JPEG or PNG picture", file[:min(len(file), 12)])
}

// checkSize refuses pictures that are empty or too large.
func checkSize(s Size) error {
	if s.H < 1 || s.W < 1 || s.H > maxPictureSide || s.W > maxPictureSide || s.H*s.W > maxPixels {
		return fmt.Errorf("is %v pixels, want at most %d and %d a side", s, maxPixels, maxPictureSide)
	}
	return nil
}

// from converts a decoded image.
func (p *picture) from(img image.Image) {
	b := img.Bounds()
	p.reset(Size{b.Dy(), b.Dx()}, 3)
	switch img := img.(type) {
	case *image.YCbCr:
		p.fromYCbCr(img)
	case *image.Gray:
		p.eachRow(func(y int, row []byte) {
			for x, v := range img.Pix[y*img.Stride:][:p.W] {
				row[3*x], row[3*x+1], row[3*x+2] = v, v, v
			}
		})
	case *image.RGBA: // never with alpha: that is how RGB is decoded
		p.eachRow(func(y int, row []byte) { dropFourth(row, img.Pix[y*img.Stride:]) })
	case *image.NRGBA:
		p.eachRow(func(y int, row []byte) { dropFourth(row, img.Pix[y*img.Stride:]) })
	case *image.CMYK:
		p.eachRow(func(y int, row []byte) { fromCMYK(row, img.Pix[y*img.Stride:]) })
	default:
		p.eachRow(func(y int, row []byte) {
			for x := range p.W {
				row[3*x], row[3*x+1], row[3*x+2] = opaque(img.At(b.Min.X+x, b.Min.Y+y))
			}
		})
	}
}

func (p *picture) eachRow(f func(y int, row []byte)) {
	for y := range p.H {
		f(y, p.pix[y*p.W*3:][:p.W*3])
	}
}

// dropFourth copies three of every four bytes.
func dropFourth(row, from []byte) {
	for x := 0; x < len(row)/3; x++ {
		copy(row[3*x:3*x+3], from[4*x:4*x+3])
	}
}

// fromCMYK converts as Pillow does: black scales what the other inks leave.
func fromCMYK(row, from []byte) {
	for x := 0; x < len(row)/3; x++ {
		white := 255 - int(from[4*x+3])
		for c := range 3 {
			ink := int(from[4*x+c])*white + 128
			row[3*x+c] = byte(max(0, white-(ink>>8+ink)>>8)) // ink/255, rounded
		}
	}
}

// opaque returns a colour without its alpha, which blends nothing.
func opaque(c color.Color) (r, g, b byte) {
	switch c := c.(type) {
	case color.RGBA: // in palettes, where it is opaque
		return c.R, c.G, c.B
	case color.NRGBA:
		return c.R, c.G, c.B
	case color.NRGBA64:
		return byte(c.R >> 8), byte(c.G >> 8), byte(c.B >> 8)
	}
	r16, g16, b16, _ := c.RGBA()
	return byte(r16 >> 8), byte(g16 >> 8), byte(b16 >> 8)
}
