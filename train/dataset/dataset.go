// Package dataset reads the data that users have: folders of pictures, CIFAR's
// records, NumPy arrays and ONNX's test data, as the input of a network.
//
// [Open] finds out what a path holds. A [Dataset] gives random access to its
// samples, [Dataset.Load] reads batches ahead of whoever computes on them, and
// [Dataset.First], [Dataset.Sample] and [Dataset.Split] choose parts. Nothing
// stays open between reads, so that there is nothing to close.
package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// A Dataset is samples that a network can be run on, in a fixed order. It is
// safe for concurrent use.
type Dataset struct {
	path   string
	source source
	pre    Preprocess
	shape  []int            // of one sample
	table  *[3][256]float32 // what 8-bit values become; nil for tensors
	chosen []int            // which samples of the source, in which order; nil: all
	memory *sync.Pool       // of *scratch
}

// A source holds samples as they are stored, and knows how to decode them.
type source interface {
	kind() string
	len() int
	name(i int) string
	label(i int) int // -1: unknown
	classes() []string
	// stored returns the bytes of sample i, in buf's memory if they fit.
	stored(i int, buf []byte) ([]byte, error)
}

// pictures are sources of 8-bit pixels, which are preprocessed.
type pictures interface {
	source
	channels() int
	// decode turns stored bytes into a picture.
	decode(stored []byte, into *picture) error
}

// tensors are sources of what networks take as it is.
type tensors interface {
	source
	shape() []int
	// floats turns stored bytes into a sample; dst has the shape's size.
	floats(stored []byte, dst []float32) error
}

// scratch is the memory of one reader.
type scratch struct {
	stored       []byte
	decoded, cut picture
	resizer      resizer
}

// newDataset finds out what shape the samples of src get.
func newDataset(path string, src source, p Preprocess) (*Dataset, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("preprocess %v: %w", p, err)
	}
	if src.len() == 0 {
		return nil, fmt.Errorf("%s: no samples: %s of length 0", path, src.kind())
	}
	d := &Dataset{path: path, source: src, pre: p, memory: &sync.Pool{New: func() any { return new(scratch) }}}
	switch src := src.(type) {
	case tensors:
		if p.String() != "none" {
			return nil, fmt.Errorf("%s: %s are passed to networks as they are, want preprocess none, not %v", path, src.kind(), p)
		}
		d.shape = src.shape()
	case pictures:
		if src.channels() == 1 && !p.sameForAll() {
			return nil, fmt.Errorf("%s: pixels have one channel, want one mean and one std, not those of %v", path, p)
		}
		d.table = p.normalized()
		if err := d.findShape(src); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// findShape works out the shape of samples: what p says, or else what becomes
// of the first one.
func (d *Dataset) findShape(src pictures) error {
	size := d.pre.Crop
	if size == (Size{}) && d.pre.Size.W > 0 {
		size = d.pre.Size
	}
	if size == (Size{}) {
		var s scratch
		if err := d.decode(src, 0, &s); err != nil {
			return d.sampleError(0, err)
		}
		c, err := d.pre.cut(s.decoded.Size)
		if err == nil {
			err = checkSize(c.cropped)
		}
		if err != nil {
			return d.sampleError(0, err)
		}
		size = c.cropped
	}
	d.shape = []int{src.channels(), size.H, size.W}
	return nil
}

// Len returns the number of samples.
func (d *Dataset) Len() int {
	if d.chosen != nil {
		return len(d.chosen)
	}
	return d.source.len()
}

// Shape returns the shape of one sample: channels, height and width of
// pictures; what the file says, without the batch, of tensors.
func (d *Dataset) Shape() []int { return slices.Clone(d.shape) }

// size is the number of values of one sample.
func (d *Dataset) size() int {
	n := 1
	for _, s := range d.shape {
		n *= s
	}
	return n
}

// Kind says what the data are, for reports: "class folders", "CIFAR-10 records".
func (d *Dataset) Kind() string { return d.source.kind() }

// Pixels reports whether samples are 8-bit pixels, which a [Preprocess] turns
// into what a network takes. Others are given to networks as they are.
func (d *Dataset) Pixels() bool { return d.table != nil }

// Preprocess returns what is done to the samples.
func (d *Dataset) Preprocess() Preprocess { return d.pre }

// Labelled reports whether the true class of every sample is known.
func (d *Dataset) Labelled() bool { return d.Len() > 0 && d.Label(0) >= 0 }

// Label returns the class of sample i, or -1 where no classes are known.
func (d *Dataset) Label(i int) int { return d.source.label(d.index(i)) }

// Classes returns the names of the classes by their index, or nil where the
// data do not tell.
func (d *Dataset) Classes() []string { return slices.Clone(d.source.classes()) }

// Name says which sample i is: a path within the data set, or a file and the
// number of a record.
func (d *Dataset) Name(i int) string { return d.source.name(d.index(i)) }

// index is the place of sample i in the source.
func (d *Dataset) index(i int) int {
	if d.chosen != nil {
		return d.chosen[i]
	}
	return i
}

// A SampleError says which sample could not be read and why.
type SampleError struct {
	Index int    // in the Dataset
	Path  string // of the data set
	Name  string // of the sample
	Err   error
}

func (e *SampleError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Path, e.Name, e.Err) }

// Unwrap returns the cause.
func (e *SampleError) Unwrap() error { return e.Err }

func (d *Dataset) sampleError(i int, err error) error {
	return &SampleError{Index: i, Path: d.path, Name: d.Name(i), Err: err}
}

// Read decodes and preprocesses sample i into dst, which must have as many
// values as [Dataset.Shape] says. A sample that cannot be read is a
// [*SampleError]; dst is then undefined.
func (d *Dataset) Read(i int, dst []float32) error {
	s := d.memory.Get().(*scratch)
	defer d.memory.Put(s)
	if err := d.read(i, dst, s); err != nil {
		return d.sampleError(i, err)
	}
	return nil
}

func (d *Dataset) read(i int, dst []float32, s *scratch) error {
	if len(dst) != d.size() {
		return fmt.Errorf("room for %d values, want %d for shape %v", len(dst), d.size(), d.shape)
	}
	if src, ok := d.source.(tensors); ok {
		stored, err := src.stored(d.index(i), s.stored)
		if err != nil {
			return err
		}
		s.stored = stored
		return src.floats(stored, dst)
	}
	if err := d.decode(d.source.(pictures), i, s); err != nil {
		return err
	}
	pic, err := d.resized(s)
	if err != nil {
		return err
	}
	d.normalize(dst, pic)
	return nil
}

func (d *Dataset) decode(src pictures, i int, s *scratch) error {
	stored, err := src.stored(d.index(i), s.stored)
	if err != nil {
		return err
	}
	s.stored = stored
	return src.decode(stored, &s.decoded)
}

// resized returns the part of the decoded picture that the network sees.
func (d *Dataset) resized(s *scratch) (*picture, error) {
	c, err := d.pre.cut(s.decoded.Size)
	if err != nil {
		return nil, err
	}
	if want := (Size{d.shape[1], d.shape[2]}); c.cropped != want {
		return nil, fmt.Errorf("is %v pixels, want %v as others: give a size and a crop", c.cropped, want)
	}
	if c.cropped == s.decoded.Size {
		return &s.decoded, nil
	}
	s.resizer.resize(&s.cut, &s.decoded, c)
	return &s.cut, nil
}

// normalize writes a picture channel by channel.
func (d *Dataset) normalize(dst []float32, pic *picture) {
	plane := pic.H * pic.W
	for c := range pic.channels {
		table := &d.table[c]
		out := dst[c*plane:][:plane]
		for i := range out {
			out[i] = table[pic.pix[i*pic.channels+c]]
		}
	}
}

// Digest returns a SHA-256 of what the samples are: for each in order, its
// label and its bytes as they are stored (a picture's file, a record, an array
// element). Names, paths and preprocessing play no part. It reads all of the
// data.
func (d *Dataset) Digest(ctx context.Context) (string, error) {
	h := sha256.New()
	var buf []byte
	for i := range d.Len() {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		stored, err := d.source.stored(d.index(i), buf)
		if err != nil {
			return "", d.sampleError(i, err)
		}
		buf = stored
		var head [16]byte
		binary.LittleEndian.PutUint64(head[:8], uint64(int64(d.Label(i))))
		binary.LittleEndian.PutUint64(head[8:], uint64(len(stored)))
		h.Write(head[:])
		h.Write(stored)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// First returns the first n samples, or all where there are no more.
func (d *Dataset) First(n int) *Dataset {
	at := make([]int, min(max(n, 0), d.Len()))
	for i := range at {
		at[i] = i
	}
	return d.subset(at)
}

// Sample returns n samples chosen at random by the seed, in their order in d;
// all where there are no more.
func (d *Dataset) Sample(n int, seed uint64) *Dataset {
	chosen, _ := d.Split(n, seed)
	return chosen
}

// Split chooses n samples at random by the seed, and returns them and the
// others, both in their order in d.
func (d *Dataset) Split(n int, seed uint64) (chosen, others *Dataset) {
	at := permutation(d.Len(), seed)
	n = min(max(n, 0), len(at))
	slices.Sort(at[:n])
	slices.Sort(at[n:])
	return d.subset(at[:n]), d.subset(at[n:])
}

// permutation returns the numbers below n in an order that the seed decides.
func permutation(n int, seed uint64) []int { return rand.New(rand.NewPCG(seed, 0)).Perm(n) }

// subset returns the samples of d at these places.
func (d *Dataset) subset(at []int) *Dataset {
	part := *d
	part.chosen = make([]int, len(at))
	for k, i := range at {
		part.chosen[k] = d.index(i)
	}
	return &part
}

// Reference returns the output that the data record for sample i: a row of
// output_0.pb in ONNX's test data. Other data have none: that is an error.
func (d *Dataset) Reference(i int) ([]float32, error) {
	src, ok := d.source.(*testData)
	if !ok {
		return nil, errors.New(d.Kind() + " record no outputs")
	}
	out, err := src.reference(d.index(i))
	if err != nil {
		return nil, d.sampleError(i, err)
	}
	return out, nil
}
