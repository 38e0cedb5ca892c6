package dataset

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// The names of arrays that [Open] looks for, the first ones first.
var (
	imageNames = []string{"x", "images", "image", "data", "inputs", "input", "arr_0"}
	labelNames = []string{"y", "labels", "label", "targets", "target", "arr_1"}
)

// Limits on compressed arrays, which are unpacked into memory.
const (
	maxArray   = 1 << 30
	maxDeflate = 1032 // the deflate format cannot pack more bytes than these into one
)

// An array is a NumPy array in a file, or unpacked in memory.
type array struct {
	name string // for errors: the file, and the member of an archive
	path string
	off  int64  // of the elements in the file
	data []byte // the elements, where they were compressed
	npyHeader
}

// bytes returns n bytes of the elements from a place on.
func (a *array) bytes(off int64, n int, buf []byte) ([]byte, error) {
	if a.data != nil {
		return append(buf[:0], a.data[off:][:n]...), nil
	}
	return readRange(a.path, a.off+off, n, buf)
}

// openNPY reads .npy files, which are named like the members of a .npz.
func openNPY(paths []string) (source, error) {
	named := map[string]string{}
	for _, path := range paths {
		named[arrayName(path)] = path
	}
	return fromArrays(filepath.Dir(paths[0]), named, openArray)
}

func arrayName(path string) string {
	return strings.ToLower(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
}

func openArray(path string) (*array, error) {
	a := &array{name: filepath.Base(path), path: path}
	info, err := os.Stat(path)
	if err != nil {
		return a, cause(err)
	}
	if !info.Mode().IsRegular() {
		return a, errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return a, cause(err)
	}
	defer f.Close()
	if a.npyHeader, a.off, err = readHeader(f); err != nil {
		return a, err
	}
	return a, a.checkSize(info.Size() - a.off)
}

func (a *array) checkSize(found int64) error {
	if found != a.size {
		return fmt.Errorf("has %d bytes of elements, want %d for shape %v of %s", found, a.size, a.shape, a.descr)
	}
	return nil
}

// openNPZ reads the arrays of an archive. Compressed ones are unpacked into
// memory, if they are of use; others stay in the file, without a look at their
// checksum.
func openNPZ(path string) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", path)
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("%s: want a zip archive of NumPy arrays: %w", path, err)
	}
	defer z.Close()
	members := map[string]*zip.File{}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, ".npy") {
			members[arrayName(f.Name)] = f
		}
	}
	return fromArrays(path, members, func(f *zip.File) (*array, error) { return openMember(path, f, info.Size()) })
}

func openMember(path string, f *zip.File, fileSize int64) (*array, error) {
	a := &array{name: f.Name, path: path}
	size, packed := f.UncompressedSize64, f.CompressedSize64
	inPlace := f.Method == zip.Store
	switch {
	case packed > uint64(fileSize), inPlace && packed != size, !inPlace && size/maxDeflate > packed:
		return a, fmt.Errorf("claims %d bytes packed into %d, in a file of %d", size, packed, fileSize)
	case !inPlace && size > maxArray:
		return a, fmt.Errorf("unpacks to %d bytes, want at most %d: save it without compression", size, maxArray)
	}
	r, err := f.Open()
	if err != nil {
		return a, err
	}
	defer r.Close()
	var before int64
	if a.npyHeader, before, err = readHeader(r); err != nil {
		return a, err
	}
	if err := a.checkSize(int64(size) - before); err != nil {
		return a, err
	}
	if !inPlace {
		return a, a.unpack(r)
	}
	if a.off, err = f.DataOffset(); err != nil {
		return a, err
	}
	if a.off += before; a.off+a.size > fileSize {
		return a, fmt.Errorf("ends at byte %d of a file of %d", a.off+a.size, fileSize)
	}
	return a, nil
}

// unpack reads the elements into memory, up to the end, where the checksum is.
func (a *array) unpack(r io.Reader) error {
	a.data = make([]byte, a.size)
	if _, err := io.ReadFull(r, a.data); err != nil {
		return err
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return fmt.Errorf("does not end after %d bytes of elements: %w", a.size, err)
	}
	return nil
}

// chooseArrays says which array holds images and which holds labels, if any.
func chooseArrays[V any](arrays map[string]V) (images, labels string, err error) {
	pick := func(names []string) string {
		at := slices.IndexFunc(names, func(name string) bool { _, ok := arrays[name]; return ok })
		if at < 0 {
			return ""
		}
		return names[at]
	}
	images, labels = pick(imageNames), pick(labelNames)
	if images != "" {
		return images, labels, nil
	}
	for name := range arrays {
		if name != labels {
			if images != "" {
				return "", "", fmt.Errorf("holds arrays %s, want one of %s for the images", sortedNames(arrays), strings.Join(imageNames, ", "))
			}
			images = name
		}
	}
	if images == "" {
		return "", "", fmt.Errorf("holds arrays %s, want images among them", sortedNames(arrays))
	}
	return images, labels, nil
}

// floatTypes are the elements that are given to networks as they are.
var floatTypes = map[string]onnxgraph.DataType{"<f2": onnxgraph.Float16, "<f4": onnxgraph.Float32, "<f8": onnxgraph.Float64}

// fromArrays makes a source of images and, where they are there, labels, as
// [Open] says.
func fromArrays[V any](path string, members map[string]V, open func(V) (*array, error)) (source, error) {
	images, labels, err := chooseArrays(members)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	n := &numpy{}
	if n.images, err = open(members[images]); err == nil {
		err = n.layOut()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", path, n.images.name, err)
	}
	if labels != "" {
		a, err := open(members[labels])
		if err == nil {
			n.labels, err = a.asLabels(n.images.shape[0])
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, a.name, err)
		}
	}
	if n.images.descr == "|u1" {
		return numpyPixels{n}, nil
	}
	return numpyFloats{n}, nil
}

// numpy is a source of the elements of an array.
type numpy struct {
	images   *array
	labels   []int32
	dims     [3]int // channels, height, width
	lastly   bool   // channels come last in the file
	bytesPer int    // sample
}

func (n *numpy) layOut() error {
	a := n.images
	if _, float := floatTypes[a.descr]; !float && a.descr != "|u1" {
		return fmt.Errorf("elements are %s, want uint8 (pixels) or floats", a.descr)
	}
	few := func(c int) bool { return c == 1 || c == 3 }
	s := a.shape
	switch {
	case len(s) == 3:
		n.dims = [3]int{1, s[1], s[2]}
	case len(s) == 4 && !few(s[1]) && few(s[3]):
		n.dims, n.lastly = [3]int{s[3], s[1], s[2]}, true
	case len(s) == 4 && (few(s[1]) || a.descr != "|u1"):
		n.dims = [3]int{s[1], s[2], s[3]}
	default:
		return fmt.Errorf("has shape %v, want images: N x C x H x W or N x H x W x C with 1 or 3 channels, or N x H x W", s)
	}
	if a.size == 0 {
		return fmt.Errorf("has shape %v, want images: nothing is in it", s)
	}
	size := a.size / int64(s[0])
	if size > maxFile {
		return fmt.Errorf("has %d bytes an image, want at most %d", size, maxFile)
	}
	n.bytesPer = int(size)
	if a.descr == "|u1" {
		return checkSize(Size{n.dims[1], n.dims[2]})
	}
	return nil
}

// asLabels reads an array as the classes of that many images.
func (a *array) asLabels(images int) ([]int32, error) {
	flat := len(a.shape) == 1 || len(a.shape) == 2 && a.shape[1] == 1
	if !flat || a.shape[0] != images {
		return nil, fmt.Errorf("has shape %v, want (%d,): a class for each image", a.shape, images)
	}
	if strings.Contains(a.descr, "f") {
		return nil, fmt.Errorf("elements are %s, want integers", a.descr)
	}
	raw, err := a.bytes(0, int(a.size), nil)
	if err != nil {
		return nil, err
	}
	labels := make([]int32, images)
	size := elementBytes[a.descr]
	for i := range labels {
		v := integer(raw[i*size:][:size], a.descr[1] == 'i')
		if v < 0 || v > math.MaxInt32 {
			return nil, fmt.Errorf("label %d is %d, want 0 or more and less than 2^31", i, v)
		}
		labels[i] = int32(v)
	}
	return labels, nil
}

// integer reads a little-endian number.
func integer(b []byte, signed bool) int64 {
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	if spare := 64 - 8*len(b); signed {
		return int64(v<<spare) >> spare
	}
	return int64(v)
}

func (n *numpy) len() int          { return n.images.shape[0] }
func (n *numpy) name(i int) string { return fmt.Sprintf("%s[%d]", n.images.name, i) }
func (n *numpy) classes() []string { return nil }

func (n *numpy) label(i int) int {
	if n.labels == nil {
		return -1
	}
	return int(n.labels[i])
}

func (n *numpy) stored(i int, buf []byte) ([]byte, error) {
	return n.images.bytes(int64(i)*int64(n.bytesPer), n.bytesPer, buf)
}

// numpyPixels are images of uint8.
type numpyPixels struct{ *numpy }

func (n numpyPixels) kind() string  { return "NumPy arrays of pixels" }
func (n numpyPixels) channels() int { return n.dims[0] }

func (n numpyPixels) decode(stored []byte, into *picture) error {
	into.reset(Size{n.dims[1], n.dims[2]}, n.dims[0])
	if n.lastly {
		copy(into.pix, stored)
	} else {
		into.fromPlanes(stored)
	}
	return nil
}

// numpyFloats are images of floats.
type numpyFloats struct{ *numpy }

func (n numpyFloats) kind() string { return "NumPy arrays of floats" }
func (n numpyFloats) shape() []int { return n.dims[:] }

func (n numpyFloats) floats(stored []byte, dst []float32) error {
	values, err := onnxgraph.NewTensor("", floatTypes[n.images.descr], []int64{int64(len(dst))}, stored).Float32s()
	if err != nil || !n.lastly {
		copy(dst, values)
		return err
	}
	channels, plane := n.dims[0], n.dims[1]*n.dims[2]
	for c := range channels {
		for i := range plane {
			dst[c*plane+i] = values[i*channels+c]
		}
	}
	return nil
}
