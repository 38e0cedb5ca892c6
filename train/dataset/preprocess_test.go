package dataset_test

import (
	"math"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/train/dataset"
)

func parse(t testing.TB, s string) dataset.Preprocess {
	t.Helper()
	p, err := dataset.ParsePreprocess(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPreprocessSpellings(t *testing.T) {
	for in, want := range map[string]string{
		"none":                      "none",
		"mean=0;std=1":              "none",
		"imagenet":                  "mean=0.485,0.456,0.406;std=0.229,0.224,0.225;size=256;crop=224",
		"imagenet;size=232":         "mean=0.485,0.456,0.406;std=0.229,0.224,0.225;size=232;crop=224",
		"cifar10":                   "mean=0.4914,0.4822,0.4465;std=0.247,0.2435,0.2616",
		"mean=0.5;std=0.5":          "mean=0.5;std=0.5",
		" crop=8x9 ; size = 10x11 ": "size=10x11;crop=8x9",
		"size=32x32":                "size=32x32",
		"std=0.00392156862745098":   "std=0.00392156862745098",
		"none;mean=0.1, 0.2 ,0.3":   "mean=0.1,0.2,0.3",
	} {
		p := parse(t, in)
		if got := p.String(); got != want {
			t.Errorf("%q is spelled %q, want %q", in, got, want)
		}
		if again := parse(t, want); again != p {
			t.Errorf("%q reads back as %+v, want %+v", want, again, p)
		}
	}
}

func TestPreprocessErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                       `"" is unknown, want imagenet`,
		"imagnet":                `"imagnet" is unknown, want imagenet, cifar10, none`,
		"mean=127.5;std=127.5":   "mean 127.5: want 0 to 1, since pixels are scaled to 0..1 first",
		"std=58":                 "std 58: want more than 0 and at most 1",
		"std=0":                  "std=0: is 0",
		"std=0.5,0,0.5":          "std 0: want more than 0",
		"std=NaN":                "std NaN",
		"mean=NaN":               "mean NaN",
		"mean=1,2":               "2 numbers, want one or three",
		"mean=a":                 `"a" is no number`,
		"size=0":                 "want N or HxW, each from 1 to 16384",
		"size=224x":              "want N or HxW",
		"crop=99999":             "each from 1 to 16384",
		"size=200;crop=224":      "crop 224x224 does not fit into size 200",
		"size=300x200;crop=224":  "crop 224x224 does not fit into size 300x200",
		"scale=2":                `key "scale" is unknown, want mean, std, size or crop`,
		"mean=0.5;imagenet":      `"imagenet" is no key=value`,
		"imagenet;crop=224;none": `"none" is no key=value`,
	} {
		_, err := dataset.ParsePreprocess(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
}

func TestForInput(t *testing.T) {
	for _, c := range []struct {
		in   string
		h, w int
		want string
	}{
		{"none", 224, 224, "size=224;crop=224"},
		{"none", 96, 128, "size=96x128;crop=96x128"},
		{"size=256", 224, 224, "size=256;crop=224"},
		{"size=256x300", 224, 200, "size=256x300;crop=224x200"},
		{"crop=200", 224, 224, "crop=200"},
		{"imagenet", 299, 299, "mean=0.485,0.456,0.406;std=0.229,0.224,0.225;size=256;crop=224"},
	} {
		if got := parse(t, c.in).ForInput(c.h, c.w).String(); got != c.want {
			t.Errorf("%s for an input of %dx%d is %s, want %s", c.in, c.h, c.w, got, c.want)
		}
	}
}

// Values by hand: (pixel/255 - mean) / std.
func TestNormalization(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, dir, "a.png", 2, 1, 0, 51, 255, 102, 204, 153)
	for spelled, want := range map[string][]float64{
		"none":                       {0, 0.4, 0.2, 0.8, 1, 0.6},
		"mean=0.5;std=0.5":           {-1, -0.2, -0.6, 0.6, 1, 0.2},
		"std=0.00392156862745098":    {0, 102, 51, 204, 255, 153},
		"mean=0,0.2,1;std=1,0.5,0.1": {0, 0.4, 0, 1.2, 0, -4},
	} {
		got := readAll(t, open(t, dir, spelled))[0]
		for i := range want {
			if math.Abs(float64(got[i])-want[i]) > 1e-4 {
				t.Errorf("%s: got %v, want %v", spelled, got, want)
				break
			}
		}
	}
}

func FuzzPreprocess(f *testing.F) {
	for _, s := range []string{"imagenet", "none", "cifar10;size=3", "mean=0.5;std=0.1,0.2,0.3;size=4x5;crop=3", "std=1e-5", "size=1;crop=1x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := dataset.ParsePreprocess(s)
		if err != nil {
			return
		}
		again, err := dataset.ParsePreprocess(p.String())
		if err != nil || again != p {
			t.Errorf("%q is spelled %q, which reads back as %+v, %v, want %+v", s, p, again, err, p)
		}
	})
}
