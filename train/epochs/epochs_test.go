package epochs

import (
	"slices"
	"testing"

	"github.com/natonnx/natonnx/train/augment"
	"github.com/natonnx/natonnx/train/dataset"
)

func shapes(t *testing.T, n int) *dataset.Dataset {
	t.Helper()
	d, err := dataset.Open(dataset.Shapes+"test", dataset.Preprocess{Size: dataset.Size{H: 4, W: 4}})
	if err != nil {
		t.Fatal(err)
	}
	return d.First(n)
}

// An epoch sees every image once, in an order that differs from epoch to epoch, and
// a step sees the same whatever was seen before it.
func TestEpochsSeeEachImageOnce(t *testing.T) {
	d := shapes(t, 24)
	e := &Epochs{Images: d, Batch: 8, Seed: 3}
	var orders [2][]float32
	for step := range 2 * e.Steps() {
		b, err := e.Step(step)
		if err != nil {
			t.Fatal(err)
		}
		orders[step/e.Steps()] = append(orders[step/e.Steps()], b.Images...)
	}
	if slices.Equal(orders[0], orders[1]) {
		t.Error("two epochs have one order")
	}
	for epoch, order := range orders {
		for i := range d.Len() {
			want := make([]float32, 48)
			if err := d.Read(i, want); err != nil {
				t.Fatal(err)
			}
			seen := 0
			for image := range slices.Chunk(order, 48) {
				if slices.Equal(image, want) {
					seen++
				}
			}
			if seen != 1 {
				t.Errorf("epoch %d sees image %d %d times", epoch, i, seen)
			}
		}
	}
}

func TestStepsDependOnTheirNumberAlone(t *testing.T) {
	e := &Epochs{Images: shapes(t, 20), Batch: 8, Augment: &augment.Augment{Flip: true, Shift: 0.25}, Seed: 1, Workers: 1}
	f := *e
	f.Workers = 3
	for _, step := range []int{3, 0, 2} {
		a, err := e.Step(step)
		if err != nil {
			t.Fatal(err)
		}
		b, err := f.Step(step)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.Images, b.Images) || !slices.Equal(a.Labels, b.Labels) {
			t.Errorf("step %d differs", step)
		}
	}
	if a, _ := e.Step(0); len(a.Labels) != 8 {
		t.Error("no batch of 8")
	}
}
