package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/natonnx/natonnx/onnxgraph"
)

const (
	inputName  = "input_0.pb"
	outputName = "output_0.pb"
)

// testData is a source of ONNX's test data: folders with the input of a model
// in input_0.pb and what it computes from it in output_0.pb. The first
// dimension is the batch. Labels are unknown: outputs are the word of another
// runtime, not the truth.
type testData struct {
	folders []string
	starts  []int // the number of the first sample of each folder
	count   int
	dims    []int // of one sample

	mu     sync.Mutex // guards what follows: the tensor that was read last
	last   int        // its folder
	values []float32
}

func openTestData(folders []string) (source, error) {
	d := &testData{folders: folders, last: -1}
	for _, folder := range folders {
		path := filepath.Join(folder, inputName)
		x, err := readFloats(path)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(folder, "input_1.pb")); err == nil {
			return nil, fmt.Errorf("%s: has input_1.pb, want models of one input", folder)
		}
		dims := make([]int, len(x.Dims))
		for i, n := range x.Dims {
			dims[i] = int(n)
		}
		if d.dims != nil && !slices.Equal(dims[1:], d.dims) {
			return nil, fmt.Errorf("%s: samples of shape %v, want %v as in %s", path, dims[1:], d.dims, folders[0])
		}
		d.dims = dims[1:]
		d.starts = append(d.starts, d.count)
		d.count += dims[0]
	}
	return d, nil
}

// readFloats opens a tensor of floats that holds at least one sample.
func readFloats(path string) (*onnxgraph.Tensor, error) {
	x, err := onnxgraph.ReadTensor(path)
	if err != nil {
		return nil, err
	}
	n, err := x.Bytes()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case n > maxFile:
		return nil, fmt.Errorf("%s: %d bytes of data, want at most %d", path, n, maxFile)
	case !slices.Contains([]onnxgraph.DataType{onnxgraph.Float32, onnxgraph.Float64, onnxgraph.Float16, onnxgraph.BFloat16}, x.Type):
		return nil, fmt.Errorf("%s: elements are %v, want floats", path, x.Type)
	case len(x.Dims) < 2 || n == 0:
		return nil, fmt.Errorf("%s: dims %v, want a batch of samples: two dimensions or more, none of them 0", path, x.Dims)
	}
	return x, nil
}

func (d *testData) kind() string      { return "ONNX test data" }
func (d *testData) len() int          { return d.count }
func (d *testData) label(int) int     { return -1 }
func (d *testData) classes() []string { return nil }
func (d *testData) shape() []int      { return d.dims }

func (d *testData) name(i int) string {
	folder, row := locate(d.starts, i)
	return fmt.Sprintf("%s/%s[%d]", filepath.Base(d.folders[folder]), inputName, row)
}

func (d *testData) stored(i int, buf []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	folder, row := locate(d.starts, i)
	if folder != d.last {
		values, err := allFloats(filepath.Join(d.folders[folder], inputName))
		if err != nil {
			return nil, err
		}
		d.last, d.values = folder, values
	}
	n := 1
	for _, dim := range d.dims {
		n *= dim
	}
	if len(d.values) < (row+1)*n {
		return nil, fmt.Errorf("%d values, want %d or more: the file has changed since it was opened", len(d.values), (row+1)*n)
	}
	buf = buf[:0]
	for _, v := range d.values[row*n:][:n] {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
	}
	return buf, nil
}

func (d *testData) floats(stored []byte, dst []float32) error {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(stored[4*i:]))
	}
	return nil
}

// reference returns the row of output_0.pb that belongs to sample i.
func (d *testData) reference(i int) ([]float32, error) {
	folder, row := locate(d.starts, i)
	path := filepath.Join(d.folders[folder], outputName)
	x, err := readFloats(path)
	if err != nil {
		return nil, err
	}
	batch := d.count
	if folder+1 < len(d.starts) {
		batch = d.starts[folder+1]
	}
	batch -= d.starts[folder]
	if x.Dims[0] != int64(batch) {
		return nil, fmt.Errorf("%s: dims %v, want a batch of %d as in %s", path, x.Dims, batch, inputName)
	}
	values, err := allFloats(path)
	if err != nil {
		return nil, err
	}
	n := len(values) / batch
	return values[row*n:][:n], nil
}

func allFloats(path string) ([]float32, error) {
	x, err := readFloats(path)
	if err != nil {
		return nil, err
	}
	values, err := x.Float32s()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return values, nil
}

// locate returns which part sample i is in, and its place there, where parts
// begin at these numbers.
func locate(starts []int, i int) (part, place int) {
	part, found := slices.BinarySearch(starts, i)
	if !found {
		part--
	}
	return part, i - starts[part]
}
