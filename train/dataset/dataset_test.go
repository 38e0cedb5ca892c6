package dataset_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
)

func write(t testing.TB, data []byte, path ...string) string {
	t.Helper()
	full := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return full
}

// pngOf encodes a picture; the red, green and blue values repeat where fewer
// are given than there are.
func pngOf(t testing.TB, w, h int, rgb ...byte) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		at := func(c int) byte { return rgb[(3*i+c)%len(rgb)] }
		img.Set(i%w, i/w, color.NRGBA{at(0), at(1), at(2), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writePNG(t testing.TB, dir, name string, w, h int, rgb ...byte) {
	t.Helper()
	write(t, pngOf(t, w, h, rgb...), dir, name)
}

func open(t testing.TB, path, preprocess string) *dataset.Dataset {
	t.Helper()
	d, err := dataset.Open(path, parse(t, preprocess))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// readAll reads every sample.
func readAll(t testing.TB, d *dataset.Dataset) [][]float32 {
	t.Helper()
	n := 1
	for _, s := range d.Shape() {
		n *= s
	}
	var all [][]float32
	for i := range d.Len() {
		x := make([]float32, n)
		if err := d.Read(i, x); err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	return all
}

// summary is what a data set says of its samples.
func summary(d *dataset.Dataset) []string {
	var out []string
	for i := range d.Len() {
		out = append(out, d.Name(i)+"="+strconv.Itoa(d.Label(i)))
	}
	return out
}

func TestOpenTellsWhatIsThere(t *testing.T) {
	record := func(labels ...byte) []byte { return append(labels, make([]byte, 3072)...) }
	pic := pngOf(t, 2, 2, 1, 2, 3)
	floats := func(dims ...int64) []byte {
		n := int64(4)
		for _, d := range dims {
			n *= d
		}
		return tensorFile(dims, make([]byte, n))
	}
	for name, c := range map[string]struct {
		files   map[string][]byte
		open    string
		kind    string
		samples []string
		classes []string
		shape   []int
	}{
		"class folders": {
			files:   map[string][]byte{"b/1.png": pic, "b/deep/2.PNG": pic, "a/z.jpeg": pic, "10/x.png": pic, "2/x.png": pic, "README": nil, ".git/x.png": pic, "a/._z.jpeg": nil},
			kind:    "class folders",
			samples: []string{"10/x.png=0", "2/x.png=1", "a/z.jpeg=2", "b/1.png=3", "b/deep/2.PNG=3"},
			classes: []string{"10", "2", "a", "b"},
		},
		"flat folder": {
			files:   map[string][]byte{"b.png": pic, "a.jpg": pic, "notes.txt": nil, "empty/notes.txt": nil},
			kind:    "pictures without labels",
			samples: []string{"a.jpg=-1", "b.png=-1"},
		},
		"list": {
			files:   map[string][]byte{"labels.csv": []byte("b.png,7\nsub/a.png,0\n"), "b.png": pic, "sub/a.png": pic, "other.png": pic},
			kind:    "pictures of labels.csv",
			samples: []string{"b.png=7", "sub/a.png=0"},
		},
		"list by name, with a header, columns in another order": {
			files:   map[string][]byte{"mine.csv": []byte("\ufeffClass_Index,name,File\r\n3,\"a, cat\",b.png\r\n"), "b.png": pic},
			open:    "mine.csv",
			kind:    "pictures of mine.csv",
			samples: []string{"b.png=3"},
		},
		"CIFAR-10": {
			files:   map[string][]byte{"data_batch_2.bin": record(9), "data_batch_1.bin": append(record(3), record(0)...), "batches.meta.txt": nil},
			kind:    "CIFAR-10 records",
			samples: []string{"data_batch_1.bin: record 0=3", "data_batch_1.bin: record 1=0", "data_batch_2.bin: record 0=9"},
			classes: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
			shape:   []int{3, 32, 32},
		},
		"CIFAR-100": {
			files:   map[string][]byte{"test.bin": append(record(19, 99), record(1, 2)...)},
			open:    "test.bin",
			kind:    "CIFAR-100 records",
			samples: []string{"test.bin: record 0=99", "test.bin: record 1=2"},
			shape:   []int{3, 32, 32},
		},
		"ONNX test data": {
			files: map[string][]byte{"model.onnx": nil, "test_data_set_0/input_0.pb": floats(2, 3, 4, 5), "test_data_set_0/output_0.pb": floats(2, 7),
				"test_data_set_1/input_0.pb": floats(1, 3, 4, 5)},
			kind:    "ONNX test data",
			samples: []string{"test_data_set_0/input_0.pb[0]=-1", "test_data_set_0/input_0.pb[1]=-1", "test_data_set_1/input_0.pb[0]=-1"},
			shape:   []int{3, 4, 5},
		},
		"one ONNX test data set": {
			files:   map[string][]byte{"test_data_set_3/input_0.pb": floats(1, 9)},
			open:    "test_data_set_3",
			kind:    "ONNX test data",
			samples: []string{"test_data_set_3/input_0.pb[0]=-1"},
			shape:   []int{9},
		},
		"npy": {
			files:   map[string][]byte{"any.npy": npy("|u1", "(2, 3, 4, 5)", 120)},
			open:    "any.npy",
			kind:    "NumPy arrays of pixels",
			samples: []string{"any.npy[0]=-1", "any.npy[1]=-1"},
			shape:   []int{3, 4, 5},
		},
		"folder of npy": {
			files:   map[string][]byte{"X.npy": npy("<f4", "(2, 4, 5, 3)", 480), "y.npy": append(npy("<i2", "(2,)", 0), 5, 0, 6, 1)},
			kind:    "NumPy arrays of floats",
			samples: []string{"X.npy[0]=5", "X.npy[1]=262"},
			shape:   []int{3, 4, 5},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, data := range c.files {
				write(t, data, dir, path)
			}
			d := open(t, filepath.Join(dir, c.open), "none")
			if d.Kind() != c.kind {
				t.Errorf("kind is %q, want %q", d.Kind(), c.kind)
			}
			if got := summary(d); !slices.Equal(got, c.samples) {
				t.Errorf("samples are %q, want %q", got, c.samples)
			}
			if !slices.Equal(d.Classes(), c.classes) {
				t.Errorf("classes are %q, want %q", d.Classes(), c.classes)
			}
			if want := !strings.HasSuffix(c.samples[0], "=-1"); d.Labelled() != want {
				t.Errorf("labelled is %v, want %v", d.Labelled(), want)
			}
			if c.shape == nil {
				c.shape = []int{3, 2, 2}
			}
			if !slices.Equal(d.Shape(), c.shape) {
				t.Errorf("shape is %v, want %v", d.Shape(), c.shape)
			}
			readAll(t, d)
		})
	}
}

// tensorFile encodes a float32 TensorProto.
func tensorFile(dims []int64, raw []byte) []byte {
	out := []byte{0x10, byte(onnxgraph.Float32)} // data_type
	for _, d := range dims {
		out = append(out, 0x08, byte(d)) // dims, less than 128
	}
	out = append(out, 0x4a) // raw_data
	for n := len(raw); ; n >>= 7 {
		if n < 0x80 {
			out = append(out, byte(n))
			break
		}
		out = append(out, byte(n)|0x80)
	}
	return append(out, raw...)
}

func TestOpenErrors(t *testing.T) {
	pic := pngOf(t, 2, 2, 1, 2, 3)
	list := func(s string) map[string][]byte {
		return map[string][]byte{"labels.csv": []byte(s), "a.png": pic, "b.png": pic}
	}
	for name, c := range map[string]struct {
		files      map[string][]byte
		open       string
		preprocess string
		want       string
	}{
		"empty folder":        {files: map[string][]byte{"notes.txt": nil}, want: "found no pictures, no class folders with pictures, no labels.csv, *.bin, *.npy or test_data_set_*"},
		"other file":          {files: map[string][]byte{"a.txt": nil}, open: "a.txt", want: "a.txt: want a folder of pictures"},
		"class without any":   {files: map[string][]byte{"a/1.png": pic, "b/x.txt": nil}, want: "no picture in folder b"},
		"pictures everywhere": {files: map[string][]byte{"a/1.png": pic, "1.png": pic}, want: "holds pictures (1.png) beside folders (a)"},

		"list leaves":        {files: list("a.png,0\n../a.png,1\n"), want: `labels.csv: line 2: file "../a.png": the path leaves the folder`},
		"list is absolute":   {files: list("/etc/passwd,1\n"), want: `file "/etc/passwd": the path leaves`},
		"list misses":        {files: list("a.png,0\nc.png,1\n"), want: `labels.csv: picture "c.png": no such file`},
		"list repeats":       {files: list("a.png,0\n./a.png,1\n"), want: `line 2: "a.png" is listed twice`},
		"list of names":      {files: list("file,class_index\na.png,cat\n"), want: `line 2: class_index "cat", want a number of 0 or more`},
		"list of negatives":  {files: list("a.png,-1\n"), want: `class_index "-1"`},
		"list of one column": {files: list("a.png\nb.png\n"), want: "line 1: 1 columns, want file and class_index in columns 1 and 2"},
		"list of nothing":    {files: list("file,class_index\n"), want: "no samples"},
		"list of one folder": {files: list(".,0\n"), want: `.: is not a regular file`},
		"list is broken":     {files: list("a.png,0\n\"b.png,1\n"), want: "labels.csv: "},

		"not a picture":      {files: map[string][]byte{"a.png": []byte("<html><body>404 not found")}, want: `a.png: starts with "<html><body>", want a JPEG or PNG picture`},
		"empty picture":      {files: map[string][]byte{"a.png": nil}, want: "a.png: is empty, want a JPEG or PNG picture"},
		"WebP":               {files: map[string][]byte{"a.webp": []byte("RIFF\x00\x00\x00\x00WEBPVP8 ")}, want: "a.webp: is a WebP picture, want JPEG or PNG"},
		"truncated picture":  {files: map[string][]byte{"a.png": pic[:len(pic)-20]}, want: "a.png: damaged PNG"},
		"decompression bomb": {files: map[string][]byte{"a.png": bomb(pic)}, want: "a.png: is 60000x60000 pixels, want at most 89478485"},
		"smaller than crop":  {files: map[string][]byte{"a.png": pic}, preprocess: "crop=3", want: "a.png: is 2x2 pixels, want at least the crop's 3x3"},

		"CIFAR, truncated":     {files: map[string][]byte{"a.bin": make([]byte, 5000)}, want: "a.bin: has 5000 bytes, want a multiple of 3073 (CIFAR-10) or 3074 (CIFAR-100)"},
		"CIFAR, empty":         {files: map[string][]byte{"a.bin": nil}, want: "a.bin: want a file of CIFAR records"},
		"CIFAR, not records":   {files: map[string][]byte{"a.bin": bytes.Repeat([]byte{77}, 2*3073)}, want: "a.bin: record 0 of CIFAR-10 records: label byte 0 is 77, want less than 10"},
		"CIFAR, two kinds":     {files: map[string][]byte{"a.bin": make([]byte, 3073), "b.bin": make([]byte, 3074)}, want: "b.bin: CIFAR-100 records, want CIFAR-10 records as in"},
		"test data, no tensor": {files: map[string][]byte{"test_data_set_0/input_0.pb": []byte("hello")}, want: "input_0.pb: "},
		"test data, shapes": {files: map[string][]byte{"test_data_set_0/input_0.pb": tensorFile([]int64{1, 2}, make([]byte, 8)), "test_data_set_1/input_0.pb": tensorFile([]int64{1, 3}, make([]byte, 12))},
			want: "samples of shape [3], want [2] as in"},
		"test data, huge":          {files: map[string][]byte{"test_data_set_0/input_0.pb": tensorFile([]int64{1, 127, 127, 127, 127}, make([]byte, 8))}, want: "raw_data has 8 bytes, want 1040578564"},
		"test data, scalar":        {files: map[string][]byte{"test_data_set_0/input_0.pb": tensorFile(nil, make([]byte, 4))}, want: "want a batch of samples"},
		"test data, two inputs":    {files: map[string][]byte{"test_data_set_0/input_0.pb": tensorFile([]int64{1, 1}, make([]byte, 4)), "test_data_set_0/input_1.pb": nil}, want: "has input_1.pb, want models of one input"},
		"test data, preprocessed":  {files: map[string][]byte{"test_data_set_0/input_0.pb": tensorFile([]int64{1, 1}, make([]byte, 4))}, preprocess: "imagenet", want: "ONNX test data are passed to networks as they are, want preprocess none"},
		"npy, floats preprocessed": {files: map[string][]byte{"x.npy": npy("<f4", "(1, 3, 2, 2)", 48)}, preprocess: "cifar10", want: "are passed to networks as they are, want preprocess none"},
		"npy, grey and colours":    {files: map[string][]byte{"x.npy": npy("|u1", "(1, 2, 2)", 4)}, preprocess: "cifar10", want: "pixels have one channel, want one mean and one std"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, data := range c.files {
				write(t, data, dir, path)
			}
			if c.preprocess == "" {
				c.preprocess = "none"
			}
			d, err := dataset.Open(filepath.Join(dir, c.open), parse(t, c.preprocess))
			if err == nil {
				err = d.Read(0, make([]float32, 27))
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := dataset.Open(filepath.Join(t.TempDir(), "absent"), dataset.Preprocess{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent path: %v", err)
	}
}

// bomb makes a PNG claim 60,000 pixels a side.
func bomb(pic []byte) []byte {
	img := image.NewPaletted(image.Rect(0, 0, 60000, 1), color.Palette{color.Black})
	var b bytes.Buffer
	if png.Encode(&b, img) != nil {
		return pic
	}
	out := b.Bytes()
	copy(out[20:24], out[16:20]) // the height in IHDR becomes the width
	copy(out[29:33], crcOf(out[12:29]))
	return out
}

// A picture that differs in size from the first one is named, with its size.
func TestSizesMustMatch(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, dir, "a.png", 3, 2, 1)
	writePNG(t, dir, "b.png", 2, 3, 1)
	d := open(t, dir, "none")
	err := d.Read(1, make([]float32, 18))
	var bad *dataset.SampleError
	if !errors.As(err, &bad) || bad.Index != 1 || bad.Name != "b.png" || !strings.Contains(err.Error(), "b.png: is 3x2 pixels, want 2x3 as others: give a size and a crop") {
		t.Errorf("got %v", err)
	}
	if err := d.Read(0, make([]float32, 17)); err == nil || !strings.Contains(err.Error(), "room for 17 values, want 18 for shape [3 2 3]") {
		t.Errorf("too little room: %v", err)
	}
	square := open(t, dir, "size=4x4")
	if !slices.Equal(square.Shape(), []int{3, 4, 4}) || len(readAll(t, square)) != 2 {
		t.Errorf("shape is %v", square.Shape())
	}
}

// Channels come first in samples, wherever they are in the file.
func TestChannelsFirst(t *testing.T) {
	planes := make([]byte, 3072)
	for i := range planes {
		planes[i] = byte(i * 7)
	}
	cifar := open(t, write(t, append([]byte{4}, planes...), t.TempDir(), "a.bin"), "none")
	last := make([]byte, 3072)
	for i := range 1024 {
		for c := range 3 {
			last[3*i+c] = planes[c*1024+i]
		}
	}
	npyFirst := open(t, write(t, append(npy("|u1", "(1, 3, 32, 32)", 0), planes...), t.TempDir(), "x.npy"), "none")
	npyLast := open(t, write(t, append(npy("|u1", "(1, 32, 32, 3)", 0), last...), t.TempDir(), "x.npy"), "none")
	picture := open(t, filepath.Dir(write(t, pngOf(t, 32, 32, last...), t.TempDir(), "x.png")), "none")
	for _, d := range []*dataset.Dataset{cifar, npyFirst, npyLast, picture} {
		got := readAll(t, d)[0]
		for i, v := range planes {
			if got[i] != float32(v)/255 {
				t.Fatalf("%s: value %d is %v, want %v", d.Kind(), i, got[i], float32(v)/255)
			}
		}
	}
}

// One channel is resized as each of three equal ones is.
func TestGreyArraysResizeAsPictures(t *testing.T) {
	const w, h = 37, 23
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = byte(i * i)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	const how = "mean=0.5;std=0.2;size=17;crop=15x16"
	picture := open(t, filepath.Dir(write(t, b.Bytes(), t.TempDir(), "x.png")), how)
	array := open(t, write(t, append(npy("|u1", "(1, 23, 37)", 0), img.Pix...), t.TempDir(), "x.npy"), how)
	if !slices.Equal(array.Shape(), []int{1, 15, 16}) {
		t.Fatalf("shape is %v", array.Shape())
	}
	grey := readAll(t, array)[0]
	if colours := readAll(t, picture)[0]; !slices.Equal(colours, slices.Concat(grey, grey, grey)) {
		t.Error("a picture and an array of the same pixels differ")
	}
}

// A picture of one colour keeps it at any size, and takes little memory
// however long and thin it is.
func TestResizeKeepsOneColour(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {2, 3}, {1, 65535}, {65535, 1}, {301, 402}} {
		dir := t.TempDir()
		writePNG(t, dir, "x.png", size[0], size[1], 51, 102, 204)
		for _, how := range []string{"imagenet;mean=0;std=1", "size=5x300", "size=300x5;crop=299x2", "size=1;crop=1"} {
			d := open(t, dir, how)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			x := readAll(t, d)[0]
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("%v, %s: took %d bytes", size, how, grown)
			}
			for i, v := range x {
				if want := []float32{0.2, 0.4, 0.8}[i/(len(x)/3)]; v != want {
					t.Errorf("%v, %s: value %d is %v, want %v", size, how, i, v, want)
					break
				}
			}
		}
	}
}

func TestReferenceOfTestData(t *testing.T) {
	for _, model := range corpus.Conformance(t) {
		dir := filepath.Dir(model)
		if filepath.Base(dir) != "test_relu" {
			continue
		}
		d := open(t, dir, "none")
		for i, x := range readAll(t, d) {
			want, err := d.Reference(i)
			if err != nil {
				t.Fatal(err)
			}
			for k := range x {
				x[k] = max(x[k], 0)
			}
			if !slices.Equal(x, want) {
				t.Errorf("%s: Relu is not the recorded output", d.Name(i))
			}
		}
		return
	}
	t.Skip("test_relu is not among the conformance models")
}

func TestSubsets(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		writePNG(t, dir, string(rune('a'+i))+".png", 1, 1, byte(i), 0, 0)
	}
	d := open(t, dir, "none")
	if got := summary(d.First(3)); !slices.Equal(got, []string{"a.png=-1", "b.png=-1", "c.png=-1"}) {
		t.Errorf("first 3: %v", got)
	}
	if a, b := d.First(100).Len(), d.First(-1).Len(); a != 20 || b != 0 {
		t.Errorf("first 100 and -1 of 20 are %d and %d", a, b)
	}
	held, rest := d.Split(7, 1)
	again, _ := d.Split(7, 1)
	other, _ := d.Split(7, 2)
	if !slices.Equal(summary(held), summary(again)) || slices.Equal(summary(held), summary(other)) {
		t.Errorf("the seed does not decide: %v, %v, %v", summary(held), summary(again), summary(other))
	}
	if !slices.IsSorted(summary(held)) || !slices.IsSorted(summary(rest)) {
		t.Errorf("parts are out of order: %v, %v", summary(held), summary(rest))
	}
	both := slices.Sorted(slices.Values(append(summary(held), summary(rest)...)))
	if !slices.Equal(both, summary(d)) {
		t.Errorf("parts together are %v", both)
	}
	part := held.Sample(3, 5)
	for i, x := range readAll(t, part) {
		if want := string(rune('a'+int(x[0]*255+0.5))) + ".png"; part.Name(i) != want {
			t.Errorf("sample %d is named %s and holds %s", i, part.Name(i), want)
		}
		if !slices.Contains(summary(held), summary(part)[i]) {
			t.Errorf("%s is not in the part it was chosen from", part.Name(i))
		}
	}
}

func digest(t *testing.T, d *dataset.Dataset) string {
	t.Helper()
	s, err := d.Digest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The digest follows content and labels, not names.
func TestDigest(t *testing.T) {
	folder := func(names []string, blue ...byte) *dataset.Dataset {
		dir := t.TempDir()
		for i, name := range names {
			writePNG(t, dir, name, 1, 1, 0, 0, blue[i])
		}
		return open(t, dir, "none")
	}
	base := digest(t, folder([]string{"x/1.png", "y/2.png"}, 1, 2))
	if len(base) != len("sha256:")+64 {
		t.Errorf("digest is %s", base)
	}
	if got := digest(t, folder([]string{"cat/a.png", "dog/b.png"}, 1, 2)); got != base {
		t.Error("renamed files have another digest")
	}
	for what, d := range map[string]*dataset.Dataset{
		"other pixels": folder([]string{"x/1.png", "y/2.png"}, 1, 3),
		"other labels": folder([]string{"x/1.png", "x/2.png"}, 1, 2),
		"other order":  folder([]string{"x/1.png", "y/2.png"}, 2, 1),
		"a part":       folder([]string{"x/1.png", "y/2.png"}, 1, 2).First(1),
	} {
		if digest(t, d) == base {
			t.Errorf("%s have the same digest", what)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := folder([]string{"a.png"}, 1).Digest(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The folder's README: 517 test images with official pixels and labels.
func TestRealCIFAR(t *testing.T) {
	d := open(t, corpus.Need(t, "data", "cifar10", "lossless_val517.bin"), "cifar10")
	if d.Len() != 517 || !d.Labelled() {
		t.Fatalf("%d samples, labelled %v", d.Len(), d.Labelled())
	}
	count := make([]int, 10)
	var sum, squares float64
	for i, x := range readAll(t, d) {
		count[d.Label(i)]++
		for _, v := range x {
			sum, squares = sum+float64(v), squares+float64(v)*float64(v)
		}
	}
	n := float64(517 * 3072)
	if mean := sum / n; mean < -0.1 || mean > 0.1 || squares/n < 0.9 || squares/n > 1.1 {
		t.Errorf("normalized pixels have mean %.3f and mean square %.3f, want 0 and 1: the statistics are those of the training images", mean, squares/n)
	}
	if slices.Min(count) < 25 {
		t.Errorf("images per class: %v, want about 52 each", count)
	}
}

func TestRealPhotographs(t *testing.T) {
	d := open(t, corpus.Need(t, "data", "imagenet", "val500"), "imagenet")
	if d.Len() != 500 || !d.Labelled() || d.Label(0) != 0 || d.Label(1) != 2 || d.Name(1) != "n01484850_great_white_shark.JPEG" {
		t.Errorf("%d samples, labels %d, %d, second %s", d.Len(), d.Label(0), d.Label(1), d.Name(1))
	}
	if !slices.Equal(d.Shape(), []int{3, 224, 224}) {
		t.Errorf("shape %v", d.Shape())
	}
}

// FuzzPicture: no bytes make the decoder panic or take much memory, and what
// it reads has the size that it states.
func FuzzPicture(f *testing.F) {
	img := image.NewYCbCr(image.Rect(0, 0, 9, 7), image.YCbCrSubsampleRatio420)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(pngOf(f, 3, 2, 1, 2, 3))
	f.Add(bomb(nil))
	f.Add([]byte("\xff\xd8\xff\xc0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 24 && bytes.HasPrefix(data, []byte("\x89PNG")) && (data[16]|data[17]|data[20]|data[21] != 0 || data[18] > 8 || data[22] > 8) {
			return // within the limits, and slow
		}
		dir := t.TempDir()
		write(t, data, dir, "x.png")
		d, err := dataset.Open(dir, dataset.Preprocess{})
		if err != nil {
			return
		}
		shape := d.Shape()
		if shape[1]*shape[2] > 1<<20 {
			return
		}
		if err := d.Read(0, make([]float32, shape[0]*shape[1]*shape[2])); err != nil {
			t.Errorf("opened, but then: %v", err)
		}
	})
}
