package onnxgraph_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/natonnx/natonnx/onnxgraph"
)

// hostile are files that are no models, and what Open must call them.
func hostile() map[string]struct {
	data []byte
	want string
} {
	type file = struct {
		data []byte
		want string
	}
	random := make([]byte, 1<<16)
	rand.NewChaCha8([32]byte{1}).Read(random)
	whole := plain().bytes()
	nested := pb{}.str(2, "deepest")
	for range 2000 {
		nested = pb{}.msg(1, node("If", "", nil, nil, pb{}.str(1, "b").msg(6, nested)))
	}
	return map[string]file{
		"LFS pointer":       {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46\n"), "is a Git LFS pointer"},
		"HTML":              {[]byte("\n <!DOCTYPE html><html><body>404"), "is an HTML page"},
		"HTML, lower case":  {[]byte("<html lang=en>"), "is an HTML page"},
		"empty":             {nil, "is empty, want an ONNX model"},
		"zip":               {[]byte("PK\x03\x04rest"), "is a zip archive"},
		"gzip":              {[]byte("\x1f\x8b\x08\x00"), "is gzip-compressed"},
		"pickle":            {[]byte("\x80\x02}q\x00."), "is a Python pickle"},
		"JSON":              {[]byte("{\"model\": 1}"), "is JSON"},
		"text":              {[]byte("hello, world\n"), ""},
		"random":            {random, ""},
		"zeros":             {make([]byte, 1000), "broken field tag at byte 0"},
		"truncated":         {whole[:len(whole)-20], "the file is truncated or damaged"},
		"no graph":          {pb{}.int(1, 8), "graph: missing"},
		"two graphs":        {append(plain().bytes(), pb{}.msg(7, plain().graph())...), "graph: appears twice"},
		"nesting":           {pb{}.int(1, 8).msg(7, nested), "nest more than 100 deep"},
		"huge length":       {append(pb{}.int(1, 8), 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), "wants 18446744073709551615 bytes"},
		"endless varint":    {append(pb{}.int(1, 8), bytes.Repeat([]byte{0xff}, 100)...), "broken field tag"},
		"name of 50 MB":     {pb{}.msg(7, pb{}.msg(1, node("Relu", strings.Repeat("n", 50<<20), nil, nil))), "is a text of 52428800 bytes, want at most 1048576"},
		"65 dimensions":     {pb{}.msg(7, pb{}.msg(5, pb{}.int(1, make([]int64, 65)...))), "more than 64 dimensions"},
		"2 data fields":     {pb{}.msg(7, pb{}.msg(5, tensor("w", 1, 1).float(4, 1).int(5, 1))), `graph.initializer[0] "w": data in two fields`},
		"string as integer": {pb{}.msg(7, pb{}.int(2, 5)), "graph.name: field 2 has wire type 0, want 2"},
		"group":             {pb{}.msg(7, protowire.AppendTag(nil, 900, protowire.StartGroupType)), "wire type 3 of field 900"},
	}
}

func TestOpenCallsThingsWhatTheyAre(t *testing.T) {
	dir := t.TempDir()
	for name, file := range hostile() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "model.onnx")
			must(t, os.WriteFile(path, file.data, 0o666))
			start := time.Now()
			m, err := onnxgraph.Open(path)
			if err == nil {
				err = m.Validate()
			}
			oneLine(t, path, err, time.Since(start))
			if err != nil && !strings.Contains(err.Error(), file.want) {
				t.Errorf("got  %v\nwant %s", err, file.want)
			}
		})
	}
}

// oneLine checks that a failure is one clear line and came within a second.
func oneLine(t *testing.T, path string, err error, took time.Duration) {
	t.Helper()
	var format *onnxgraph.FormatError
	var invalid *onnxgraph.InvalidError
	switch {
	case err == nil:
		t.Error("no error")
	case !errors.As(err, &format) && !errors.As(err, &invalid):
		t.Errorf("a %T: %v", err, err)
	case !strings.HasPrefix(err.Error(), path+": "), strings.Contains(err.Error(), "\n"), len(err.Error()) > 1000:
		t.Errorf("not one short line that begins with the file: %.2000q", err)
	case took > 20*time.Second: // a hang, not a busy machine
		t.Errorf("took %v", took)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo.onnx")
	pipe(t, fifo)
	link := filepath.Join(dir, "link.onnx")
	must(t, os.Symlink(dir, link))
	for path, want := range map[string]string{dir: "is a folder", fifo: "is not a regular file", "/dev/zero": "is not a regular file", link: "is a folder"} {
		start := time.Now()
		_, err := onnxgraph.Open(path)
		oneLine(t, path, err, time.Since(start))
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	if _, err := onnxgraph.Open(filepath.Join(dir, "absent.onnx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

// bombs are small patterns that, repeated, decode to far more memory than they
// take in the file.
var bombs = map[string]func(repeat func(pb) pb) []byte{
	"nodes":           func(r func(pb) pb) []byte { return pb{}.msg(7, r(pb{}.msg(1))) },
	"initializers":    func(r func(pb) pb) []byte { return pb{}.msg(7, r(pb{}.msg(5))) },
	"inputs":          func(r func(pb) pb) []byte { return pb{}.msg(7, r(pb{}.msg(11))) },
	"unknown in file": func(r func(pb) pb) []byte { return r(pb{}.int(3, 1)) },
	"unknown":         func(r func(pb) pb) []byte { return pb{}.msg(7, r(pb{}.int(9, 1))) },
	"attributes":      func(r func(pb) pb) []byte { return pb{}.msg(7, pb{}.msg(1, r(pb{}.msg(5)))) },
	"node inputs":     func(r func(pb) pb) []byte { return pb{}.msg(7, pb{}.msg(1, r(pb{}.str(1, "")))) },
	"subgraphs":       func(r func(pb) pb) []byte { return pb{}.msg(7, pb{}.msg(1, pb{}.msg(5, r(pb{}.msg(11))))) },
	"ints": func(r func(pb) pb) []byte {
		return pb{}.msg(7, pb{}.msg(1, pb{}.msg(5, r(pb{}.int(8, 1)))))
	},
	"packed ints": func(r func(pb) pb) []byte {
		return pb{}.msg(7, pb{}.msg(1, pb{}.msg(5, r(pb{}.str(8, strings.Repeat("\x01", 1000))))))
	},
	"strings": func(r func(pb) pb) []byte {
		return pb{}.msg(7, pb{}.msg(1, pb{}.msg(5, r(pb{}.str(9, "")))))
	},
	"dimensions": func(r func(pb) pb) []byte {
		return pb{}.msg(7, pb{}.msg(11, pb{}.msg(2, pb{}.msg(1, pb{}.msg(2, r(pb{}.msg(1)))))))
	},
	"packed pieces":  func(r func(pb) pb) []byte { return pb{}.msg(7, pb{}.msg(5, r(pb{}.str(5, "\x01")))) },
	"opsets":         func(r func(pb) pb) []byte { return r(pb{}.msg(8)) },
	"functions":      func(r func(pb) pb) []byte { return r(pb{}.msg(25)) },
	"metadata":       func(r func(pb) pb) []byte { return r(pb{}.msg(14)) },
	"skipped fields": func(r func(pb) pb) []byte { return pb{}.msg(7, pb{}.msg(1, r(pb{}.int(99, 1)))) },
	"string data":    func(r func(pb) pb) []byte { return pb{}.msg(7, pb{}.msg(5, r(pb{}.str(6, "")))) },
	"external":       func(r func(pb) pb) []byte { return pb{}.msg(7, pb{}.msg(5, r(pb{}.msg(13)))) },
}

// Files of nothing much are refused, or read, quickly and in bounded memory. The
// size is where decoding has long given up, so that larger files take no longer.
func TestOpenBoundsMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a gigabyte of memory")
	}
	path := filepath.Join(t.TempDir(), "bomb.onnx")
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			data := bomb(func(p pb) pb { return bytes.Repeat(p, 24<<20/len(p)) })
			must(t, os.WriteFile(path, data, 0o666))
			c := runChild(t, "validate", path)
			t.Logf("%v, %d MB: %.200s", c.took, c.memory>>20, c.out)
			if c.memory > 800<<20 {
				t.Errorf("took %d MB of memory", c.memory>>20)
			}
			if c.took > 10*time.Second { // measured: up to 1 s; generous for loaded machines
				t.Errorf("took %v", c.took)
			}
			if !strings.HasPrefix(c.out, path+": ") || strings.Contains(c.out, "\n") {
				t.Errorf("not one line that begins with the file: %.2000q", c.out)
			}
		})
	}
}

// A tensor that claims more elements than the file has bytes is not allocated.
func TestReadingAnAbsurdTensor(t *testing.T) {
	for _, dims := range [][]int64{{1 << 62}, {1 << 40}, {1 << 31, 1 << 31, 4}, {-1}} {
		for _, data := range []pb{pb{}.str(9, "12345678"), pb{}.float(4, 1), {}} {
			s := plain()
			s.inits = []pb{append(tensor("w", onnxgraph.Float32, dims...), data...)}
			m, err := onnxgraph.Parse("net.onnx", s.bytes())
			must(t, err)
			if _, err := m.Graph.Initializers[0].Float32s(); err == nil {
				t.Errorf("%v: read", dims)
			}
		}
	}
}

// The cache of Hugging Face: links from a snapshot to files named by their hash.
func TestHuggingFaceCache(t *testing.T) {
	root := t.TempDir()
	blobs, snapshot := filepath.Join(root, "blobs"), filepath.Join(root, "snapshots", "abc")
	must(t, os.MkdirAll(blobs, 0o777))
	must(t, os.MkdirAll(snapshot, 0o777))
	s := plain()
	s.inits = []pb{externalTensor("w", "location", "model.onnx_data", "offset", "4", "length", "8")}
	must(t, os.WriteFile(filepath.Join(blobs, "h1"), s.bytes(), 0o666))
	must(t, os.WriteFile(filepath.Join(blobs, "h2"), []byte("....\x00\x00\x80\x3f\x00\x00\x00\x40"), 0o666))
	must(t, os.Symlink("../../blobs/h1", filepath.Join(snapshot, "model.onnx")))
	must(t, os.Symlink("../../blobs/h2", filepath.Join(snapshot, "model.onnx_data")))

	m, err := onnxgraph.Open(filepath.Join(snapshot, "model.onnx"))
	must(t, err)
	must(t, m.Validate())
	got, err := m.Graph.Initializers[0].Float32s()
	must(t, err)
	if len(got) != 2 || got[0] != 1 || got[1] != 2 {
		t.Errorf("read %v, want [1 2]", got)
	}
}
