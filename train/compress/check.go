package compress

import (
	"context"
	"fmt"
	"math"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/measure"
)

// A NetworkError says why a network cannot be compressed.
type NetworkError struct{ err error }

func (e *NetworkError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *NetworkError) Unwrap() error { return e.err }

// A DataError says why images cannot be used.
type DataError struct{ msg string }

func (e *DataError) Error() string { return e.msg }

func unusable(format string, args ...any) error { return &DataError{fmt.Sprintf(format, args...)} }

// check finds out before any work what would go wrong in the end: networks that
// are not from pictures to scores of classes, and images that do not fit.
func check(ctx context.Context, m *onnxgraph.Model, o Options, images *dataset.Dataset) error {
	if n := len(m.Graph.Outputs); n != 1 {
		return &NetworkError{fmt.Errorf("%s: has %d outputs, want one: what happens to the others would not be seen", m.Path, n)}
	}
	run, err := measure.Open(ctx, m, measure.Options{Workers: o.Workers})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &NetworkError{err}
	}
	defer run.Close()
	s := run.Input.Shape
	if len(s) != 4 || !s[1].Known() || !s[2].Known() || !s[3].Known() {
		return &NetworkError{fmt.Errorf("%s: input %q is %v, want pictures of a known size: batch x channels x height x width", m.Path, run.Input.Name, s)}
	}
	want := fewest
	if o.Guard == nil {
		want = fewest * 5 / 4 // a fifth is kept apart
	}
	if n := images.Len(); n < want {
		return unusable("the data hold %s, too few to compress a network with: want %d or more; a few hundred do well", plural(n), want)
	}
	for _, d := range []*dataset.Dataset{images, o.Guard} {
		if d == nil {
			continue
		}
		if err := run.Fits(d); err != nil {
			return err
		}
		if err := finite(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func plural(images int) string {
	if images == 1 {
		return "1 image"
	}
	return fmt.Sprintf("%d images", images)
}

// finite reports the first sample with a NaN or an infinity. Pixels have none.
func finite(ctx context.Context, d *dataset.Dataset) error {
	if d.Pixels() {
		return nil
	}
	size := 1
	for _, n := range d.Shape() {
		size *= n
	}
	for b, err := range d.Load(ctx, dataset.LoadOptions{Batch: 32}) {
		if err != nil {
			return err
		}
		for i, x := range b.Images {
			if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
				return unusable("%s: holds %v, want finite numbers", d.Name(b.Indices[i/size]), x)
			}
		}
	}
	return nil
}
