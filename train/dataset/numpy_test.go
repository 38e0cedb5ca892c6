package dataset_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/train/dataset"
)

func crcOf(b []byte) []byte { return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)) }

// npy makes a NumPy file with n zero bytes of elements.
func npy(descr, shape string, n int) []byte {
	return npyHeader(fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape), n)
}

func npyHeader(header string, n int) []byte {
	header += "\n"
	out := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header)))
	return append(append(out, header...), make([]byte, n)...)
}

func npz(t testing.TB, method uint16, members map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range members {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What NumPy itself writes is read as NumPy has it.
func TestNumPyAgrees(t *testing.T) {
	const program = `
import sys, os, numpy as np
dir = sys.argv[1]
r = np.random.RandomState(1)
def put(name, x, save=np.savez, **more):
    save(os.path.join(dir, name + ".npz"), x=x, **more)
    first = x if x.ndim == 3 or x.shape[1] in (1, 3) or x.shape[3] not in (1, 3) else x.transpose(0, 3, 1, 2)
    out = first.astype(np.float32) / 255 if x.dtype == np.uint8 else first.astype(np.float32)
    np.asarray(out, "<f4").tofile(os.path.join(dir, name + ".want"))
y = np.array([3, 0, 70000], np.int64)
put("u8", r.randint(0, 256, (3, 3, 5, 4)).astype(np.uint8), y=y)
put("u8-last", r.randint(0, 256, (3, 5, 4, 3)).astype(np.uint8), np.savez_compressed, labels=y.astype(np.uint32))
put("u8-grey", r.randint(0, 256, (3, 5, 4)).astype(np.uint8), label=y.reshape(3, 1))
put("f4", r.randn(3, 3, 5, 4).astype(np.float32), targets=y.astype(np.int32))
put("f4-features", r.randn(3, 7, 5, 4).astype(np.float32), np.savez_compressed, Y=y)
put("f4-last", r.randn(3, 5, 4, 1).astype(np.float32), y=y)
put("f8", r.randn(3, 3, 5, 4), y=y)
put("f2", np.array([0, -1.5, 65504, 6e-8, 1 / 3, np.inf] * 6).reshape(3, 3, 2, 2).astype(np.float16), y=y)
`
	dir := t.TempDir()
	dataset.AskPython(t, "numpy", program, dir)
	files, _ := filepath.Glob(filepath.Join(dir, "*.npz"))
	if len(files) != 8 {
		t.Fatalf("NumPy wrote %d files, want 8", len(files))
	}
	for _, path := range files {
		raw, err := os.ReadFile(strings.TrimSuffix(path, ".npz") + ".want")
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, len(raw)/4)
		for i := range want {
			want[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		d := open(t, path, "none")
		if got := slices.Concat(readAll(t, d)...); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", filepath.Base(path), got, want)
		}
		if d.Len() != 3 || d.Label(0) != 3 || d.Label(1) != 0 || d.Label(2) != 70000 {
			t.Errorf("%s: %d samples, labels %d, %d, %d, want 3, 0, 70000", filepath.Base(path), d.Len(), d.Label(0), d.Label(1), d.Label(2))
		}
	}
}

func TestNumPyErrors(t *testing.T) {
	u1 := func(shape string, n int) []byte { return npy("|u1", shape, n) }
	pixels := u1("(1, 3, 2, 2)", 12)
	lie := func(data []byte, size uint32) []byte { // a directory that claims another unpacked size
		at := bytes.LastIndex(data, []byte("PK\x01\x02"))
		binary.LittleEndian.PutUint32(data[at+24:], size)
		return data
	}
	for name, c := range map[string]struct {
		file string
		data []byte
		want string
	}{
		"empty":             {"x.npy", nil, "x.npy: is too short for a NumPy array"},
		"other":             {"x.npy", []byte("<!DOCTYPE html>"), `starts with "<!DOCT", want a NumPy array`},
		"version":           {"x.npy", []byte("\x93NUMPY\x09\x00\x00\x00\x00\x00"), "NumPy format version 9, want 1 to 3"},
		"long header":       {"x.npy", []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), "has a header of 4294967295 bytes, want at most 65536"},
		"cut header":        {"x.npy", pixels[:40], "ends within its header"},
		"truncated":         {"x.npy", pixels[:len(pixels)-1], "has 11 bytes of elements, want 12 for shape [1 3 2 2] of |u1"},
		"too long":          {"x.npy", append(slices.Clone(pixels), 0), "has 13 bytes of elements, want 12"},
		"huge":              {"x.npy", u1("(4000000000, 4000000000, 4000000000)", 12), "overflows"},
		"overlong number":   {"x.npy", u1("(99999999999999999999, 3)", 12), "shape is no tuple of numbers"},
		"many dimensions":   {"x.npy", u1("("+strings.Repeat("1,", 33)+")", 1), "shape is no tuple of numbers"},
		"negative":          {"x.npy", u1("(-1, 3, 2, 2)", 12), "shape is no tuple of numbers"},
		"fortran":           {"x.npy", npyHeader("{'descr': '|u1', 'fortran_order': True, 'shape': (1, 3, 2, 2), }", 12), "fortran_order is not False"},
		"structured":        {"x.npy", npyHeader("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4), "descr is no plain element type"},
		"missing key":       {"x.npy", npyHeader("{'descr': '|u1', 'shape': (1, 3, 2, 2)}", 12), "want descr, fortran_order and shape, and nothing else"},
		"key twice":         {"x.npy", npyHeader("{'descr': '|u1', 'descr': '|u1', 'shape': (1,)}", 12), "want keys descr, fortran_order and shape"},
		"unknown key":       {"x.npy", npyHeader("{'code': 'import os'}", 12), `key "code"`},
		"code":              {"x.npy", npyHeader("__import__('os')", 12), "want a dictionary"},
		"rest":              {"x.npy", npyHeader("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 2, 2)} or 1", 12), "and nothing else"},
		"objects":           {"x.npy", npy("|O", "(1, 3, 2, 2)", 12), `elements are "|O", want`},
		"big-endian":        {"x.npy", npy(">f4", "(1, 3, 2, 2)", 48), `elements are ">f4", want 8-bit or little-endian numbers`},
		"integers":          {"x.npy", npy("<i8", "(1, 3, 2, 2)", 96), "elements are <i8, want uint8 (pixels) or floats"},
		"no image":          {"x.npy", u1("(5,)", 5), "has shape [5], want images"},
		"seven channels":    {"x.npy", u1("(1, 7, 2, 2)", 28), "has shape [1 7 2 2], want images"},
		"nothing":           {"x.npy", u1("(0, 3, 2, 2)", 0), "nothing is in it"},
		"no zip":            {"x.npz", []byte("hello"), "want a zip archive of NumPy arrays"},
		"no arrays":         {"x.npz", npz(t, zip.Store, map[string][]byte{"a.txt": nil}), "holds arrays , want images among them"},
		"which":             {"x.npz", npz(t, zip.Store, map[string][]byte{"x_train.npy": pixels, "x_test.npy": pixels}), "holds arrays x_test, x_train, want one of x, images"},
		"labels, count":     {"x.npz", npz(t, zip.Store, map[string][]byte{"x.npy": pixels, "y.npy": u1("(2,)", 2)}), "y.npy: has shape [2], want (1,)"},
		"labels, one-hot":   {"x.npz", npz(t, zip.Store, map[string][]byte{"x.npy": pixels, "y.npy": u1("(1, 10)", 10)}), "y.npy: has shape [1 10], want (1,)"},
		"labels, floats":    {"x.npz", npz(t, zip.Store, map[string][]byte{"x.npy": pixels, "y.npy": npy("<f4", "(1,)", 4)}), "y.npy: elements are <f4, want integers"},
		"labels, negative":  {"x.npz", npz(t, zip.Store, map[string][]byte{"x.npy": pixels, "y.npy": append(npy("|i1", "(1,)", 0), 0xff)}), "y.npy: label 0 is -1, want 0 or more"},
		"zip, other shape":  {"x.npz", npz(t, zip.Deflate, map[string][]byte{"x.npy": u1("(1000, 3, 1000, 1000)", 10)}), "has 10 bytes of elements, want 3000000000"},
		"zip, lying":        {"x.npz", lie(npz(t, zip.Deflate, map[string][]byte{"x.npy": u1("(900, 1000, 1000)", 10)}), 900_000_000), "claims 900000000 bytes packed into"},
		"zip, lying stored": {"x.npz", lie(npz(t, zip.Store, map[string][]byte{"x.npy": u1("(900, 1000, 1000)", 10)}), 900_000_000), "claims 900000000 bytes packed into"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, c.data, t.TempDir(), c.file)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := dataset.Open(path, dataset.Preprocess{})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), filepath.Dir(path)) {
				t.Errorf("got %v, want the path and %q", err, c.want)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
				t.Errorf("took %d bytes of memory to say so", grown)
			}
		})
	}
}

// raw makes an archive of one member whose header may lie.
func raw(t *testing.T, h zip.FileHeader, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h.Name, h.CompressedSize64 = "x.npy", uint64(len(data))
	w, err := z.CreateRaw(&h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Archives are unpacked no further than they say, say no more than is
// possible, and are damaged where their checksum is wrong.
func TestHostileArchives(t *testing.T) {
	content := npy("|u1", "(4, 3, 32, 32)", 4*3*32*32)
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(content)
	w.Write(make([]byte, 1<<20))
	w.Close()
	longer := b.Bytes()
	size := uint64(len(content))
	for name, c := range map[string]struct {
		header zip.FileHeader
		data   []byte
		want   string
	}{
		"a bomb that says so":  {zip.FileHeader{Method: zip.Deflate, UncompressedSize64: 1<<30 + 1}, make([]byte, 2<<20), "want at most 1073741824: save it without compression"},
		"a bomb that does not": {zip.FileHeader{Method: zip.Deflate, UncompressedSize64: size}, longer, "x.npy: does not end after 12288 bytes of elements"},
		"less than it says":    {zip.FileHeader{Method: zip.Deflate, UncompressedSize64: size}, longer[:100], "x.npy: unexpected EOF"},
		"impossible":           {zip.FileHeader{Method: zip.Deflate, UncompressedSize64: 1 << 29}, longer, "claims 536870912 bytes packed into"},
		"other method":         {zip.FileHeader{Method: 99, UncompressedSize64: size}, longer, "x.npy: zip: unsupported compression algorithm"},
	} {
		path := write(t, raw(t, c.header, c.data), t.TempDir(), "x.npz")
		if _, err := dataset.Open(path, dataset.Preprocess{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	damaged := npz(t, zip.Deflate, map[string][]byte{"x.npy": content})
	at := bytes.LastIndex(damaged, []byte("PK\x01\x02"))
	damaged[at+16] ^= 1 // the checksum
	if _, err := dataset.Open(write(t, damaged, t.TempDir(), "x.npz"), dataset.Preprocess{}); !errors.Is(err, zip.ErrChecksum) {
		t.Errorf("wrong checksum: %v", err)
	}
}

// FuzzNPY: a file that opens has as many samples as it has room for, and all
// can be read.
func FuzzNPY(f *testing.F) {
	f.Add(npy("|u1", "(2, 3, 2, 2)", 24))
	f.Add(npy("<f4", "(1, 2, 2, 3)", 48))
	f.Add(npy("<f2", "(1L, 2, 2)", 8))
	f.Add(npyHeader("{\"shape\": (3,), 'fortran_order': False, 'descr': \"<i8\"}", 24))
	f.Add(npy("|u1", "(99999999999, 0, 2, 2)", 0))
	f.Add([]byte("\x93NUMPY\x02\x00\x10\x00\x00\x00{'shape': ((((("))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := write(t, data, t.TempDir(), "x.npy")
		d, err := dataset.Open(path, dataset.Preprocess{})
		if err != nil {
			if !strings.HasPrefix(err.Error(), filepath.Dir(path)) {
				t.Errorf("error without the path: %v", err)
			}
			return
		}
		if n := d.Len(); n < 1 || n > len(data) {
			t.Fatalf("%d samples in %d bytes", n, len(data))
		}
		readAll(t, d)
	})
}

// FuzzLabels: whatever a list says, no picture outside its folder is opened.
func FuzzLabels(f *testing.F) {
	for _, s := range []string{"a.png,1\n", "file,class_index\na.png,0", "class_index,file\n3,sub/../a.png\n", "../outside.png,1", "\"a.png\",1,extra\n\"b", "/a.png,1", "a.png,99999999999999", "\ufeffa.png, 7"} {
		f.Add(s)
	}
	root := f.TempDir()
	writePNG(f, root, "outside.png", 1, 1, 255)
	writePNG(f, root, "in/a.png", 1, 1, 0)
	f.Fuzz(func(t *testing.T, s string) {
		dir := filepath.Join(root, "in")
		list, err := os.CreateTemp(dir, "*.csv")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(list.Name())
		if _, err := list.WriteString(s); err != nil {
			t.Fatal(err)
		}
		list.Close()
		d, err := dataset.Open(list.Name(), dataset.Preprocess{})
		if err != nil {
			return
		}
		for i, x := range readAll(t, d) {
			if x[0] != 0 || d.Label(i) < 0 {
				t.Errorf("%q: sample %s holds %v, label %d", s, d.Name(i), x, d.Label(i))
			}
		}
	})
}
