package dataset

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Open opens the data at a path. What they are is told by what is there:
//
//   - a folder with labels.csv, or that file itself: the pictures it lists
//   - a folder of test_data_set_* folders, or one of those: ONNX's test data
//   - a folder of pictures: without labels
//   - a folder of folders of pictures: a class is a folder, and its index is the
//     place of its name in the sorted list of names, as in torchvision's
//     ImageFolder: "10" stands before "2"
//   - a .bin file, or a folder of them in the order of their names: CIFAR-10's or
//     CIFAR-100's records. CIFAR-10's own folder holds training and test
//     images: name test_batch.bin to measure
//   - a .npz or .npy file, or a folder of .npy files: NumPy arrays
//   - [Shapes] with "train" or "test" behind it: the pictures that natonnx draws
//
// Of NumPy arrays, the images are the one named x, images, image, data, inputs,
// input or arr_0, in any case of letters, or else the only one besides labels;
// labels are y, labels, label, targets, target or arr_1, of N integers. Images are
// N x C x H x W, N x H x W x C or N x H x W; which of the first two is told by
// where the 1 or 3 channels are. In a sample the channels come first. uint8
// arrays are pixels; float arrays, like ONNX's test data, are what the network
// takes, so that p must be "none" for them.
//
// Pictures are JPEG or PNG files, and become three channels of 8 bits as
// Pillow's convert("RGB") has it: grey is repeated, alpha is dropped and not
// blended, CMYK is converted without a colour profile. Of 16 bits the upper 8
// stay. The orientation in EXIF data is ignored, as torchvision ignores it.
// Names that start with a dot are passed over. Symbolic links to pictures and
// to class folders are followed.
func Open(path string, p Preprocess) (*Dataset, error) {
	open := openShapes
	if !strings.HasPrefix(path, Shapes) {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		open = openFile
		if info.IsDir() {
			open = openFolder
		}
	}
	src, err := open(path)
	if err != nil {
		return nil, err
	}
	return newDataset(path, src, p)
}

func openFile(path string) (source, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".bin":
		return openCIFAR([]string{path})
	case ".npz":
		return openNPZ(path)
	case ".npy":
		return openNPY([]string{path})
	case ".csv":
		return openList(path)
	}
	return nil, fmt.Errorf("%s: want a folder of pictures or of test_data_set_*, or a file .bin (CIFAR), .npz, .npy or labels.csv", path)
}

func openFolder(path string) (source, error) {
	c, err := look(path)
	if err != nil {
		return nil, err
	}
	switch {
	case c.list:
		return openList(filepath.Join(path, listName))
	case len(c.testSets) > 0:
		return openTestData(c.testSets)
	case len(c.pictures) > 0:
		return openFlat(path, c)
	}
	classes, err := openClasses(path, c.folders)
	if err != nil || classes != nil {
		return classes, err
	}
	switch {
	case len(c.records) > 0:
		return openCIFAR(c.records)
	case len(c.arrays) > 0:
		return openNPY(c.arrays)
	}
	return nil, fmt.Errorf("%s: found no pictures, no class folders with pictures, no %s, *.bin, *.npy or test_data_set_*", path, listName)
}

// contents is what a folder holds, sorted by name.
type contents struct {
	list     bool
	pictures []string // names
	folders  []string // names
	testSets []string // paths
	records  []string // paths
	arrays   []string // paths
}

func look(path string) (*contents, error) {
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return nil, err
	}
	c := &contents{}
	for _, e := range entries {
		name, full := e.Name(), filepath.Join(path, e.Name())
		ext := strings.ToLower(filepath.Ext(name))
		switch {
		case strings.HasPrefix(name, "."):
		case isFolder(e, full) && strings.HasPrefix(name, "test_data_set_"):
			c.testSets = append(c.testSets, full)
		case isFolder(e, full):
			c.folders = append(c.folders, name)
		case name == listName:
			c.list = true
		case name == inputName:
			c.testSets = append(c.testSets, path)
		case extensions[ext]:
			c.pictures = append(c.pictures, name)
		case ext == ".bin":
			c.records = append(c.records, full)
		case ext == ".npy":
			c.arrays = append(c.arrays, full)
		}
	}
	return c, nil
}

// isFolder follows symbolic links.
func isFolder(e fs.DirEntry, path string) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// files is a source of pictures that are files of a folder.
type files struct {
	what    string
	root    string
	items   []item
	folders []string // the classes
}

// item is a picture: its path from the root, with slashes, and its class.
type item struct {
	path  string
	class int
}

func (f *files) kind() string      { return f.what }
func (f *files) len() int          { return len(f.items) }
func (f *files) name(i int) string { return f.items[i].path }
func (f *files) label(i int) int   { return f.items[i].class }
func (f *files) classes() []string { return f.folders }
func (f *files) channels() int     { return 3 }

func (f *files) stored(i int, buf []byte) ([]byte, error) {
	return readWhole(filepath.Join(f.root, filepath.FromSlash(f.items[i].path)), buf)
}

func (f *files) decode(stored []byte, into *picture) error { return into.decodeFile(stored) }

func openFlat(path string, c *contents) (source, error) {
	f := &files{what: "pictures without labels", root: path}
	for _, name := range c.pictures {
		f.items = append(f.items, item{name, -1})
	}
	classes, err := openClasses(path, c.folders)
	if err != nil {
		return nil, err
	}
	if classes != nil {
		return nil, fmt.Errorf("%s: holds pictures (%s) beside folders (%s): want either, or a %s", path, c.pictures[0], c.folders[0], listName)
	}
	return f, nil
}

// openClasses reads class folders; nil where there is no picture in any.
func openClasses(path string, folders []string) (source, error) {
	f := &files{what: "class folders", root: path, folders: folders}
	empty := ""
	for class, folder := range folders {
		before := len(f.items)
		if err := f.search(folder, class); err != nil {
			return nil, err
		}
		if len(f.items) == before {
			empty = folder
		}
	}
	switch {
	case len(f.items) == 0:
		return nil, nil
	case empty != "":
		return nil, fmt.Errorf("%s: no picture in folder %s: want some, since every folder is a class", path, empty)
	}
	return f, nil
}

// search adds the pictures in a class folder and the folders below it.
func (f *files) search(folder string, class int) error {
	return fs.WalkDir(os.DirFS(filepath.Join(f.root, folder)), ".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", filepath.Join(f.root, folder), err)
		case path != "." && strings.HasPrefix(e.Name(), ".") && e.IsDir():
			return fs.SkipDir
		case !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && extensions[strings.ToLower(filepath.Ext(path))]:
			f.items = append(f.items, item{folder + "/" + path, class})
		}
		return nil
	})
}

// maxFile bounds what is read into memory at once.
const maxFile = 1 << 30

// readWhole reads a file into buf's memory if it fits. It stays away from
// pipes and devices, which may never end.
func readWhole(path string, buf []byte) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, cause(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("has %d bytes, want at most %d", info.Size(), maxFile)
	}
	return readRange(path, 0, int(info.Size()), buf)
}

// readRange reads n bytes of a file at an offset, into buf's memory if they fit.
func readRange(path string, off int64, n int, buf []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	buf = grow(buf, n)
	if got, err := f.ReadAt(buf, off); got < n {
		if err == io.EOF {
			return nil, fmt.Errorf("ends at byte %d, want %d", off+int64(got), off+int64(n))
		}
		return nil, cause(err)
	}
	return buf, nil
}

// cause strips the path from an error that names the sample anyway.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// sortedNames returns the keys of a map in order, for errors.
func sortedNames[V any](m map[string]V) string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
