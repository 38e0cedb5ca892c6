package dataset

import (
	"fmt"
	"os"
	"path/filepath"
)

// CIFAR's binary records, as https://www.cs.toronto.edu/~kriz/cifar.html states
// them: one label byte (CIFAR-10) or a coarse and a fine one (CIFAR-100), then
// the 32 x 32 red pixels, the green and the blue ones.
const (
	cifarSide   = 32
	cifarPixels = 3 * cifarSide * cifarSide
)

// cifarForms are the two forms: for each label byte, how many classes it may
// name. The last one is the label.
var cifarForms = []struct {
	name   string
	labels []byte
	names  []string
}{
	{"CIFAR-10 records", []byte{10}, []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}},
	{"CIFAR-100 records", []byte{20, 100}, nil},
}

// cifar is a source of CIFAR's records, in one or more files.
type cifar struct {
	form   int
	paths  []string
	starts []int  // the number of the first record of each file
	labels []byte // of all records
}

func openCIFAR(paths []string) (source, error) {
	c := &cifar{form: -1, paths: paths}
	for _, path := range paths {
		form, labels, err := readCIFARLabels(path)
		if err != nil {
			return nil, err
		}
		if c.form >= 0 && form != c.form {
			return nil, fmt.Errorf("%s: %s, want %s as in %s", path, cifarForms[form].name, cifarForms[c.form].name, paths[0])
		}
		c.form = form
		c.starts = append(c.starts, len(c.labels))
		c.labels = append(c.labels, labels...)
	}
	return c, nil
}

// readCIFARLabels finds out the form of a file and reads the labels in it.
func readCIFARLabels(path string) (form int, labels []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, nil, err
	}
	size := info.Size()
	if !info.Mode().IsRegular() || size == 0 {
		return 0, nil, fmt.Errorf("%s: want a file of CIFAR records, found %v of %d bytes", path, info.Mode().Type(), size)
	}
	err = fmt.Errorf("%s: has %d bytes, want a multiple of 3073 (CIFAR-10) or 3074 (CIFAR-100)", path, size)
	for form := range cifarForms {
		if size%int64(cifarPixels+len(cifarForms[form].labels)) != 0 {
			continue
		}
		labels, problem := labelsAs(form, path, size)
		if problem == nil {
			return form, labels, nil
		}
		err = problem
	}
	return 0, nil, err
}

// labelsAs reads the labels of a file of that form.
func labelsAs(form int, path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	limits := cifarForms[form].labels
	record := int64(cifarPixels + len(limits))
	labels := make([]byte, size/record)
	head := make([]byte, len(limits))
	for i := range labels {
		if _, err := f.ReadAt(head, int64(i)*record); err != nil {
			return nil, fmt.Errorf("%s: record %d: %w", path, i, err)
		}
		for k, limit := range limits {
			if head[k] >= limit {
				return nil, fmt.Errorf("%s: record %d of %s: label byte %d is %d, want less than %d", path, i, cifarForms[form].name, k, head[k], limit)
			}
		}
		labels[i] = head[len(head)-1]
	}
	return labels, nil
}

func (c *cifar) kind() string      { return cifarForms[c.form].name }
func (c *cifar) len() int          { return len(c.labels) }
func (c *cifar) label(i int) int   { return int(c.labels[i]) }
func (c *cifar) classes() []string { return cifarForms[c.form].names }
func (c *cifar) channels() int     { return 3 }

func (c *cifar) name(i int) string {
	file, record := locate(c.starts, i)
	return fmt.Sprintf("%s: record %d", filepath.Base(c.paths[file]), record)
}

func (c *cifar) stored(i int, buf []byte) ([]byte, error) {
	file, record := locate(c.starts, i)
	size := cifarPixels + len(cifarForms[c.form].labels)
	return readRange(c.paths[file], int64(record)*int64(size), size, buf)
}

func (c *cifar) decode(stored []byte, into *picture) error {
	into.reset(Size{cifarSide, cifarSide}, 3)
	into.fromPlanes(stored[len(stored)-cifarPixels:])
	return nil
}

// fromPlanes puts the channels of a pixel side by side.
func (p *picture) fromPlanes(planes []byte) {
	plane := p.H * p.W
	for c := range p.channels {
		for i, v := range planes[c*plane:][:plane] {
			p.pix[i*p.channels+c] = v
		}
	}
}
