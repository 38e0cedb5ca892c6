package fit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/checkpoint"
)

// A Run is a training whose state is kept in a file, and that goes on from there.
type Run struct {
	Options
	Model *onnxgraph.Model
	State string        // the file; empty: none
	Log   string        // a file that gets the curve, in CSV; empty: none
	Every time.Duration // between two states that are saved [a minute]; an epoch's end saves one too

	file  checkpoint.File[State]
	saved time.Time
}

// Do runs the training to its end.
func (r *Run) Do(ctx context.Context) (*Training, error) {
	if err := r.defaults(); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Model.Path, err)
	}
	of, err := r.of(ctx)
	if err != nil {
		return nil, err
	}
	r.file = checkpoint.File[State]{Path: r.State, Of: of}
	if r.Resume, err = r.file.Load(); err != nil {
		return nil, err
	}
	t, err := New(ctx, r.Model, r.Options)
	if err != nil {
		return nil, err
	}
	r.saved = time.Now()
	report := t.Report
	t.Report = func(p Progress) error {
		err := r.keep(t, p)
		if report != nil {
			err = errors.Join(err, report(p))
		}
		return err
	}
	err = t.Run(ctx)
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	return t, errors.Join(err, r.save(t))
}

// of names all that the result depends on.
func (r *Run) of(ctx context.Context) (string, error) {
	digest, err := r.Images.Digest(ctx)
	if err != nil {
		return "", err
	}
	of := fmt.Sprintf("1: images %.19s as %v, batch %d, %d epochs, rate %v to %v, momentum %v, decay %v, clip %v, smoothing %v, paths %v, auxiliary %v, augmentation %+v, temperature %v, labels %v, seed %d",
		digest, r.Images.Preprocess(), r.Batch, r.Epochs, r.Rate, r.Floor, r.Momentum, r.WeightDecay, r.Clip, r.Smoothing, r.DropPath, r.Auxiliary, r.Augment, r.Temperature, r.Labels, r.Seed)
	for _, m := range []*onnxgraph.Model{r.Model, r.Form, r.Teacher} {
		h := sha256.New()
		if m != nil {
			if _, err := m.WriteTo(h); err != nil {
				return "", err
			}
		}
		of += fmt.Sprintf(", %x", h.Sum(nil)[:6])
	}
	return of, nil
}

func (r *Run) keep(t *Training, p Progress) error {
	every := r.Every
	if every == 0 {
		every = time.Minute
	}
	if p.Point == nil && time.Since(r.saved) < every {
		return nil
	}
	return r.save(t)
}

func (r *Run) save(t *Training) error {
	if err := r.file.Save(t.State()); err != nil {
		return err
	}
	r.saved = time.Now()
	if r.Log == "" {
		return nil
	}
	return onnxgraph.WriteFile(r.Log, table(t.Curve()))
}

// table writes a curve as CSV.
func table(curve []Point) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"epoch", "rate", "loss", "test_accuracy"}}
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
	for _, p := range curve {
		row := []string{strconv.Itoa(p.Epoch), number(p.Rate), number(p.Loss), ""}
		if p.Test != nil {
			row[3] = number(p.Test.Top1.Value())
		}
		rows = append(rows, row)
	}
	w.WriteAll(rows) // a bytes.Buffer takes all
	return b.Bytes()
}
