package dataset_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/train/dataset"
)

// The drawn pictures are the same everywhere and for ever: what was measured on
// them can be measured again.
func TestShapesStayTheSame(t *testing.T) {
	for part, want := range map[string]string{"train": "sha256:7e536770daea67e55b02b889e3f8a930dcdab7648a2d9072c923d8fdb18f6b14", "test": "sha256:4fcb7ea4b06d5ddb6dec8933f9ba9701716b5a2725fba27b9efa02933d839a43"} {
		d, err := dataset.Open(dataset.Shapes+part, dataset.Preprocess{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.First(200).Digest(t.Context()); err != nil || got != want {
			t.Errorf("%s: digest %s, %v, want %s", part, got, err, want)
		}
	}
}

func TestShapes(t *testing.T) {
	d, err := dataset.Open(dataset.Shapes+"test", dataset.Preprocess{})
	if err != nil {
		t.Fatal(err)
	}
	if shape := d.Shape(); !slices.Equal(shape, []int{3, 32, 32}) || d.Len() != 2000 || len(d.Classes()) != 10 || !d.Labelled() {
		t.Fatalf("%d samples of %v in classes %v", d.Len(), shape, d.Classes())
	}
	count, seen, x := make([]int, 10), map[string]int{}, make([]float32, 3*32*32)
	for i := range d.Len() {
		count[d.Label(i)]++
		if err := d.Read(i, x); err != nil {
			t.Fatal(err)
		}
		var row strings.Builder
		for _, v := range x[:96] {
			row.WriteByte(byte(v * 255))
		}
		if j, ok := seen[row.String()]; ok {
			t.Errorf("pictures %d and %d begin alike", i, j)
		}
		seen[row.String()] = i
		if lo, hi := slices.Min(x), slices.Max(x); hi-lo < 0.2 {
			t.Errorf("picture %d (%s) is flat: from %v to %v", i, d.Classes()[d.Label(i)], lo, hi)
		}
	}
	if slices.Min(count) != 200 || slices.Max(count) != 200 {
		t.Errorf("pictures in each class: %v, want 200", count)
	}
	if _, err := dataset.Open(dataset.Shapes+"valid", dataset.Preprocess{}); err == nil || !strings.Contains(err.Error(), "builtin:shapes/train or builtin:shapes/test") {
		t.Errorf("an unknown part: %v", err)
	}
}
