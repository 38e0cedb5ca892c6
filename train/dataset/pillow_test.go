package dataset

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
)

// AskPython runs a program in a Python that has these modules, and returns
// what it prints. Where there is none, the test is skipped.
func AskPython(t *testing.T, modules, program string, args ...string) []byte {
	t.Helper()
	for _, python := range []string{os.Getenv("NATONNX_PYTHON"), "python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import "+modules).Run() != nil {
			continue
		}
		cmd := exec.Command(python, append([]string{"-c", program}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.Bytes())
		}
		return out
	}
	t.Skipf("no Python with %s: install it for python3 or for the interpreter that NATONNX_PYTHON names", modules)
	return nil
}

// preprocessed prints the pixels of pictures as torchvision's Resize and
// CenterCrop leave them: its code calls Pillow's resize with these numbers.
const preprocessed = `
import sys
from PIL import Image
height, width, crop_h, crop_w = map(int, sys.argv[1:5])
for path in sys.argv[5:]:
    im = Image.open(path).convert("RGB")
    w, h = im.size
    if width:
        im = im.resize((width, height), Image.BILINEAR)
    elif height:
        new = (height, int(height * h / w)) if w <= h else (int(height * w / h), height)
        im = im.resize(new, Image.BILINEAR)
    w, h = im.size
    if crop_h:
        top, left = int(round((h - crop_h) / 2.0)), int(round((w - crop_w) / 2.0))
        im = im.crop((left, top, left + crop_w, top + crop_h))
    sys.stdout.buffer.write(im.tobytes())
`

func pillowPreprocessed(t *testing.T, p Preprocess, paths ...string) []byte {
	t.Helper()
	var args []string
	for _, n := range []int{p.Size.H, p.Size.W, p.Crop.H, p.Crop.W} {
		args = append(args, fmt.Sprint(n))
	}
	return AskPython(t, "PIL", preprocessed, append(args, paths...)...)
}

// ourPixels decodes and resizes a file as Read does, before normalization.
func ourPixels(t *testing.T, p Preprocess, path string) []byte {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s scratch
	if err := s.decoded.decodeFile(file); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	c, err := p.cut(s.decoded.Size)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	d := &Dataset{pre: p, shape: []int{3, c.cropped.H, c.cropped.W}}
	pic, err := d.resized(&s)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return pic.pix
}

// difference returns the largest and the mean difference of pixel values.
func difference(t *testing.T, a, b []byte) (largest int, mean float64) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%d pixel values, Pillow has %d", len(a), len(b))
	}
	var sum int
	for i := range a {
		d := max(int(a[i])-int(b[i]), int(b[i])-int(a[i]))
		largest, sum = max(largest, d), sum+d
	}
	return largest, float64(sum) / float64(len(a))
}

// photographs returns real JPEG files.
func photographs(t *testing.T, n int) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(corpus.Need(t, "data", "imagenet", "val500"), "*.JPEG"))
	if err != nil || len(paths) < n {
		t.Skipf("%d photographs in val500, want %d: %v", len(paths), n, err)
	}
	return paths[:n]
}

// Without a JPEG in between, pixels are Pillow's, bit for bit, except that
// Pillow 13 resizes some stretched pictures down first, and then across.
func TestResizeIsPillows(t *testing.T) {
	var files []string
	for i, photo := range photographs(t, 4) {
		f, err := os.Open(photo)
		if err != nil {
			t.Fatal(err)
		}
		img, _, err := image.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.png", i))
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	for spelled, allowed := range map[string]int{
		"imagenet": 0, "size=232;crop=224": 0, "size=32": 0, "size=600;crop=599": 0, "crop=51x80": 0, "none": 0,
		"size=97x203": 1, "size=500x3;crop=499x2": 1,
	} {
		p, err := ParsePreprocess(spelled)
		if err != nil {
			t.Fatal(err)
		}
		want := pillowPreprocessed(t, p, files...)
		for _, path := range files {
			got := ourPixels(t, p, path)
			if len(want) < len(got) {
				t.Fatalf("%s: Pillow has fewer pixels", spelled)
			}
			if largest, mean := difference(t, got, want[:len(got)]); largest > allowed {
				t.Errorf("%s, %s: pixels differ by up to %d, %.4f in the mean", spelled, path, largest, mean)
			}
			want = want[len(got):]
		}
		if len(want) > 0 {
			t.Errorf("%s: Pillow has more pixels", spelled)
		}
	}
}

// Go's inverse cosine transform rounds differently from libjpeg's: a pixel
// value may be off by 2 before resizing. Colours must not be off by more, which
// they are where they are not interpolated as libjpeg does.
func TestJPEGIsNearlyPillows(t *testing.T) {
	photos := photographs(t, 20)
	for _, c := range []struct {
		preprocess string
		largest    int
		mean       float64
	}{
		{"none", 4, 0.05},
		{"imagenet", 4, 0.05},
	} {
		p, err := ParsePreprocess(c.preprocess)
		if err != nil {
			t.Fatal(err)
		}
		want := pillowPreprocessed(t, p, photos...)
		var got []byte
		for _, path := range photos {
			got = append(got, ourPixels(t, p, path)...)
		}
		largest, mean := difference(t, got, want)
		t.Logf("%s: %d photographs, pixels differ by up to %d, %.4f in the mean", c.preprocess, len(photos), largest, mean)
		if largest > c.largest || mean > c.mean {
			t.Errorf("%s: pixels differ from Pillow's by up to %d, %.4f in the mean, want at most %d and %.2f", c.preprocess, largest, mean, c.largest, c.mean)
		}
	}
}

// TestPictureFormsArePillows: whatever form pixels are stored in, they become
// the red, green and blue that Pillow's convert("RGB") gives.
func TestPictureFormsArePillows(t *testing.T) {
	const program = `
import sys, os
from PIL import Image
dir = sys.argv[1]
side = 37
base = Image.new("RGB", (side, 29))
base.putdata([((x * 7 + y) % 256, (y * 9) % 256, (x * y) % 256) for y in range(29) for x in range(side)])
alpha = Image.linear_gradient("L").resize(base.size)
faded = base.copy(); faded.putalpha(alpha)
grey = base.convert("L")
both = Image.merge("LA", (grey, alpha))
def save(im, name, **how):
    im.save(os.path.join(dir, name), **how)
save(base, "rgb.png"); save(faded, "rgba.png"); save(grey, "grey.png"); save(both, "grey-alpha.png")
save(grey.convert("1"), "one-bit.png")
save(base.convert("P", palette=Image.ADAPTIVE, colors=200), "palette.png")
save(base.convert("P", palette=Image.ADAPTIVE, colors=13), "palette-4bit.png", bits=4)
save(base.convert("P", palette=Image.ADAPTIVE, colors=100), "palette-transparent.png", transparency=3)
save(base, "rgb-transparent.png", transparency=(7, 0, 0))
for n, name in enumerate(["444", "422", "420"]):
    save(base, name + ".jpg", quality=98, subsampling=n)
    for w, h in [(1, 1), (2, 5), (4, 3), (5, 4), (17, 33), (36, 28)]:
        save(base.crop((0, 0, w, h)), "%s-%dx%d.jpg" % (name, w, h), quality=98, subsampling=n)
save(base, "progressive.jpg", quality=98, progressive=True)
save(grey, "grey.jpg", quality=98)
save(base.convert("CMYK"), "cmyk.jpg", quality=98)
inks = Image.merge("CMYK", (*base.split(), alpha))
save(inks, "inks.jpg", quality=100)
turned = Image.Exif(); turned[0x0112] = 6
save(base, "exif.jpg", quality=98, exif=turned)
for name in sorted(os.listdir(dir)):
    im = Image.open(os.path.join(dir, name))
    print(name, im.mode, im.convert("RGB").tobytes().hex())
`
	dir := t.TempDir()
	lines := strings.Split(strings.TrimSpace(string(AskPython(t, "PIL", program, dir))), "\n")
	if len(lines) < 30 {
		t.Fatalf("%d pictures, want 30 or more", len(lines))
	}
	for _, line := range lines {
		var name, mode string
		var want []byte
		if _, err := fmt.Sscanf(line, "%s %s %x", &name, &mode, &want); err != nil {
			t.Fatal(err)
		}
		allowed := 0
		if strings.HasSuffix(name, ".jpg") {
			allowed = 3 // the inverse cosine transform, then a colour
		}
		if largest, mean := difference(t, ourPixels(t, Preprocess{}, filepath.Join(dir, name)), want); largest > allowed {
			t.Errorf("%s (%s): differs from Pillow by up to %d, %.3f in the mean, want at most %d", name, mode, largest, mean, allowed)
		}
	}
}
