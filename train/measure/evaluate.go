package measure

import (
	"context"
	"fmt"
	"time"

	"github.com/natonnx/natonnx/train/dataset"
)

// An Accuracy is how often a network is right on labelled data.
type Accuracy struct {
	Top1 Share
	// Top5 is how often the true class is among the five highest scores. It is
	// nil where there are no more than five classes. Of equal scores the class
	// with the lower index counts as the higher, as in argmax.
	Top5 *Share
}

// A Comparison says how a network relates to another one on the same data.
type Comparison struct {
	// Agreement is how often both have the same top class.
	Agreement Share
	Distance
	// Accuracy of the other one; nil without labels.
	Accuracy *Accuracy
}

// An Evaluation is what was measured on data.
type Evaluation struct {
	Samples  int       // on which everything was measured
	Accuracy *Accuracy // nil without labels
	Against  *Comparison
	// Computing is the time that the network ran, all batches together, without
	// the other one and without waiting for data; Elapsed the time of all.
	Computing, Elapsed time.Duration
	Batch              int // samples in a run
}

// EvaluateOptions say how data are gone through.
type EvaluateOptions struct {
	Batch    int // samples read at a time, and computed at a time where the network takes any batch; 0: 32
	Progress func(done, of int)
}

// Evaluate runs a network, and another one to compare it with where that is
// not nil, on all samples. With an error, the evaluation tells what was
// measured before: a *[MisfitError], a *[dataset.SampleError] for a sample that
// cannot be read, the context's error, or one that names the network or its node.
func Evaluate(ctx context.Context, m, against *Model, data *dataset.Dataset, o EvaluateOptions) (*Evaluation, error) {
	if o.Batch <= 0 {
		o.Batch = 32
	}
	e := &Evaluation{Batch: o.Batch}
	if m.Batch > 0 {
		e.Batch = m.Batch
	}
	for _, x := range []*Model{m, against} {
		if x == nil {
			continue
		}
		if err := x.Fits(data); err != nil {
			return e, err
		}
	}
	if data.Labelled() {
		e.Accuracy = &Accuracy{}
	}
	if against != nil {
		e.Against = &Comparison{}
		if data.Labelled() {
			e.Against.Accuracy = &Accuracy{}
		}
	}
	began := time.Now()
	var err error
	for batch, failed := range data.Load(ctx, dataset.LoadOptions{Batch: o.Batch, Workers: m.Workers}) {
		if err = failed; err == nil {
			err = e.take(ctx, m, against, data, batch)
		}
		if err != nil {
			break
		}
		if o.Progress != nil {
			o.Progress(e.Samples, data.Len())
		}
	}
	e.Elapsed = time.Since(began)
	return e, err
}

// take runs one batch.
func (e *Evaluation) take(ctx context.Context, m, against *Model, data *dataset.Dataset, b *dataset.Batch) error {
	began := time.Now()
	rows, err := m.Run(ctx, b.Images, data.Shape())
	if err != nil {
		return err
	}
	took := time.Since(began)
	var others [][]float32
	if against != nil {
		if others, err = against.Run(ctx, b.Images, data.Shape()); err != nil {
			return err
		}
	}
	for i, row := range rows {
		label := b.Labels[i]
		if e.Accuracy != nil && label >= len(row) {
			return m.tooFew(len(row), label, data.Name(b.Indices[i]))
		}
		if against != nil {
			if err := e.Against.take(m, against, row, others[i], label); err != nil {
				return err
			}
		}
		if e.Accuracy != nil {
			e.Accuracy.take(row, label)
		}
		e.Samples++
	}
	e.Computing += took
	return nil
}

func (c *Comparison) take(m, against *Model, row, other []float32, label int) error {
	if err := c.compare(against, m, other, row); err != nil {
		return err
	}
	c.Agreement.count(Top(row) == Top(other))
	if c.Accuracy != nil {
		c.Accuracy.take(other, label)
	}
	return nil
}

// take takes up the scores of one sample. One without a label counts for nothing.
func (a *Accuracy) take(row []float32, label int) {
	if label < 0 {
		return
	}
	r := rank(row, label)
	a.Top1.count(r == 0)
	if len(row) > 5 {
		if a.Top5 == nil {
			a.Top5 = &Share{}
		}
		a.Top5.count(r < 5)
	}
}

// Top returns the class with the highest score, the first of equals.
func Top(row []float32) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}

// rank returns how many classes come before a class.
func rank(row []float32, class int) (r int) {
	for i, v := range row {
		if v > row[class] || v == row[class] && i < class {
			r++
		}
	}
	return r
}

// A MisfitError says that a network and data, or two networks, do not belong together.
type MisfitError struct{ msg string }

func (e *MisfitError) Error() string { return e.msg }

func misfit(format string, args ...any) error { return &MisfitError{fmt.Sprintf(format, args...)} }

// tooFew says that a network has no such class.
func (m *Model) tooFew(classes, label int, sample string) error {
	return misfit("%s: has %d classes, too few for class %d of %s", m.Path, classes, label, sample)
}

// Fits reports why a network cannot be measured on data: a *[MisfitError].
func (m *Model) Fits(data *dataset.Dataset) error {
	if !m.Classifies {
		return m.errNoClasses()
	}
	if _, err := m.Sample(data.Shape()); err != nil {
		return err
	}
	if n := len(data.Classes()); m.Classes > 0 && n > 0 && n != m.Classes {
		return misfit("%s: output %q has %d classes, the data (%s) have %d: want the same number", m.Path, m.Output.Name, m.Classes, data.Kind(), n)
	}
	for i := range data.Len() {
		if label := data.Label(i); m.Classes > 0 && label >= m.Classes {
			return m.tooFew(m.Classes, label, data.Name(i))
		}
	}
	return nil
}
