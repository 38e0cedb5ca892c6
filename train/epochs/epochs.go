// Package epochs goes through images again and again: in each epoch in an order of
// its own, and each time changed at random. What a step sees depends on the seed and
// on the number of the step alone, so that a training can go on from any.
package epochs

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/natonnx/natonnx/train/augment"
	"github.com/natonnx/natonnx/train/dataset"
)

// Epochs are images, a batch in each step.
type Epochs struct {
	Images  *dataset.Dataset
	Batch   int
	Augment *augment.Augment // nil: images stay as they are
	Seed    uint64
	Workers int // cores; 0: all
}

// A Batch is images of a shape, one after the other, and their classes.
type Batch struct {
	Images []float32
	Labels []int
	Shape  []int
}

// Steps is how many there are in an epoch; images that fill no batch are left out.
func (e *Epochs) Steps() int { return e.Images.Len() / e.Batch }

// What random numbers are for.
const (
	ofOrder = 1 + iota
	ofChanges
)

// Step returns the images of a step, counted from 0 over all epochs.
func (e *Epochs) Step(step int) (Batch, error) {
	epoch, at := step/e.Steps(), step%e.Steps()
	order := rand.New(rand.NewPCG(e.Seed, ofOrder<<56|uint64(epoch))).Perm(e.Images.Len())
	b, err := Read(e.Images, order[at*e.Batch:][:e.Batch], e.Workers)
	if err == nil && e.Augment != nil {
		b.Images = e.Augment.Apply(rand.New(rand.NewPCG(e.Seed, ofChanges<<56|uint64(step))), nil, b.Images, e.Batch, b.Shape)
	}
	return b, err
}

// Read reads images as they are.
func Read(from *dataset.Dataset, at []int, workers int) (Batch, error) {
	b := Batch{Shape: from.Shape()}
	size := 1
	for _, d := range b.Shape {
		size *= d
	}
	b.Images = make([]float32, len(at)*size)
	errs := make([]error, len(at))
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(cmp.Or(workers, runtime.GOMAXPROCS(0)), len(at)) {
		wg.Go(func() {
			for i := range next {
				errs[i] = from.Read(at[i], b.Images[i*size:][:size])
			}
		})
	}
	for i, image := range at {
		b.Labels = append(b.Labels, from.Label(image))
		next <- i
	}
	close(next)
	wg.Wait()
	return b, errors.Join(errs...)
}

// A DataError says that images cannot train what they are to train.
type DataError struct{ msg string }

func (e *DataError) Error() string { return e.msg }

// Misfit returns a *[DataError].
func Misfit(format string, args ...any) error { return &DataError{fmt.Sprintf(format, args...)} }

// Labelled refuses images whose class is not known, or is none of so many; 0: any.
func Labelled(d *dataset.Dataset, classes int) error {
	for i := range d.Len() {
		switch label := d.Label(i); {
		case label < 0:
			return Misfit("%s: its class is not known: want class folders, labels.csv, CIFAR's records or arrays with labels", d.Name(i))
		case classes > 0 && label >= classes:
			return Misfit("%s: is of class %d, want less than %d", d.Name(i), label, classes)
		}
	}
	return nil
}
