package onnxgraph_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

// listing returns the content of every file below a folder by relative path;
// links and devices are listed by their kind.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if !d.Type().IsRegular() {
			out[rel] = d.Type().String()
			return nil
		}
		data, err := os.ReadFile(path)
		out[rel] = string(data)
		return err
	}))
	return out
}

func sameListing(t testing.TB, dir string, want map[string]string) {
	t.Helper()
	got := listing(t, dir)
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is litter", name)
		}
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s is not as it was", name)
		}
	}
}

// network is y = Relu(x * w1 * w2) with weights in the file.
func network(t testing.TB) *onnxgraph.Model {
	t.Helper()
	s := plain()
	s.nodes = []pb{node("Mul", "m1", names("x", "w1"), names("a")), node("Mul", "m2", names("a", "w2"), names("b")), node("Relu", "relu", names("b"), names("y"))}
	s.inits = []pb{tensor("w1", onnxgraph.Float32, 2).str(9, "12345678"), tensor("w2", onnxgraph.Float32, 2).str(9, "abcdefgh")}
	s.inputs, s.outputs = []pb{value("x", 1, 2)}, []pb{value("y", 1, 2)}
	m, err := onnxgraph.Parse("net.onnx", s.bytes())
	must(t, err)
	return m
}

// externalNetwork writes the same network with its weights in two data files
// and opens it.
func externalNetwork(t testing.TB, dir string) *onnxgraph.Model {
	t.Helper()
	s := plain()
	s.nodes = []pb{node("Mul", "m1", names("x", "w1"), names("a")), node("Mul", "m2", names("a", "w2"), names("b")), node("Relu", "relu", names("b"), names("y"))}
	s.inits = []pb{
		externalTensor("w1", "location", "one.data", "offset", "4", "length", "8"),
		append(externalTensor("w2", "location", "sub/two.data"), pb{}.str(700, "unknown")...),
	}
	s.inputs, s.outputs = []pb{value("x", 1, 2)}, []pb{value("y", 1, 2)}
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o777))
	must(t, os.WriteFile(filepath.Join(dir, "one.data"), []byte("skip12345678"), 0o666))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "two.data"), []byte("abcdefgh"), 0o666))
	path := filepath.Join(dir, "net.onnx")
	must(t, os.WriteFile(path, s.bytes(), 0o666))
	m, err := onnxgraph.Open(path)
	must(t, err)
	return m
}

// weights reads the initializers of the saved network back.
func weights(t testing.TB, path string) string {
	t.Helper()
	m, err := onnxgraph.Open(path)
	must(t, err)
	must(t, m.Validate())
	var out string
	for _, x := range m.Graph.Initializers {
		raw, err := x.Raw()
		must(t, err)
		out += string(raw)
	}
	return out
}

func edited(t testing.TB, m *onnxgraph.Model) *onnxgraph.Model {
	t.Helper()
	m, err := m.Apply(detour(m.Graph.Nodes[0]))
	must(t, err)
	return m
}

// A failing context fails from its n-th question on: a write that is interrupted
// at every point where it can be.
type failingContext struct {
	context.Context
	left int
}

func (c *failingContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestInterruptedSaveLeavesEverythingAsItWas(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	inside, outside := network(t), externalNetwork(t, from)
	for name, m := range map[string]*onnxgraph.Model{
		"unedited": inside, "edited": edited(t, inside), "external": outside, "external, edited": edited(t, outside),
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(to, "out.onnx")
			must(t, os.WriteFile(out, []byte("the old file"), 0o666))
			before := listing(t, to)
			for n := 0; ; n++ {
				err := m.Save(&failingContext{context.Background(), n}, out)
				if err == nil {
					if n == 0 {
						t.Error("the context was never asked")
					}
					break
				}
				sameListing(t, to, before)
				if n > 100 {
					t.Fatal(err)
				}
			}
			if got := weights(t, out); got != "12345678abcdefgh" {
				t.Errorf("weights %q", got)
			}
			must(t, os.RemoveAll(filepath.Join(to, "sub")))
		})
	}
}

// Where the system refuses to write, the old file stays and nothing else appears.
func TestSaveWithoutRoomOrRight(t *testing.T) {
	from := t.TempDir()
	must(t, os.Chmod(filepath.Dir(from), 0o755)) // the child may be another user
	externalNetwork(t, from)
	must(t, os.WriteFile(filepath.Join(from, "inside.onnx"), written(t, network(t)), 0o666))
	for _, in := range []string{"net.onnx", "inside.onnx"} {
		for how := range limits {
			t.Run(in+", "+how, func(t *testing.T) {
				to := t.TempDir()
				must(t, os.Chmod(filepath.Dir(to), 0o755))
				out := filepath.Join(to, "out.onnx")
				must(t, os.WriteFile(out, []byte("the old file"), 0o666))
				before := listing(t, to)
				c := runChild(t, "edit", filepath.Join(from, in), out, how)
				must(t, os.Chmod(to, 0o755))
				if !strings.Contains(c.out, to) || strings.Contains(c.out, ".tmp") {
					t.Errorf("the error does not name the target alone: %q", c.out)
				}
				sameListing(t, to, before)
			})
		}
	}
}

// Other files appear as models do: whole, and without litter.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "picture.svg")
	for _, text := range []string{"first", "second, and longer"} {
		must(t, onnxgraph.WriteFile(path, []byte(text)))
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("read %q, %v, want %q", got, err, text)
		}
	}
	if all := listing(t, dir); len(all) != 1 {
		t.Errorf("%v in the folder, want the one file", all)
	}
	if err := onnxgraph.WriteFile(filepath.Join(dir, "absent", "x"), nil); err == nil || strings.Contains(err.Error(), ".tmp") {
		t.Errorf("a folder that is not there: %v", err)
	}
	must(t, onnxgraph.WriteFile(os.DevNull, []byte("x")))
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%s was replaced", os.DevNull)
	}
}

func TestSaveKeepsModeAndHonoursUmask(t *testing.T) {
	umask(t, 0o027)
	dir := t.TempDir()
	fresh, old := filepath.Join(dir, "fresh.onnx"), filepath.Join(dir, "old.onnx")
	must(t, os.WriteFile(old, []byte("old"), 0o600))
	must(t, os.Chmod(old, 0o604))
	for path, want := range map[string]fs.FileMode{fresh: 0o640, old: 0o604} {
		must(t, network(t).Save(context.Background(), path))
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s: mode %v, want %v", filepath.Base(path), info.Mode(), want)
		}
	}
}

// A link is replaced, not followed: what it points at may be the input, or a
// file of a cache that is named by its content.
func TestSaveReplacesALink(t *testing.T) {
	dir := t.TempDir()
	blob, link, dangling := filepath.Join(dir, "blob"), filepath.Join(dir, "link.onnx"), filepath.Join(dir, "dangling.onnx")
	must(t, os.WriteFile(blob, []byte("precious"), 0o666))
	must(t, os.Symlink("blob", link))
	must(t, os.Symlink("nowhere", dangling))
	m := network(t)
	must(t, m.Save(context.Background(), link))
	must(t, m.Save(context.Background(), dangling))
	want := string(written(t, m))
	sameListing(t, dir, map[string]string{"blob": "precious", "link.onnx": want, "dangling.onnx": want})
}

func TestSaveToWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	m := network(t)
	if err := m.Save(context.Background(), dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
	if err := m.Save(context.Background(), filepath.Join(dir, "absent", "x.onnx")); err == nil || strings.Contains(err.Error(), ".tmp") {
		t.Errorf("a folder that is not there: %v", err)
	}
	fifo := filepath.Join(dir, "fifo")
	pipe(t, fifo)
	got := make(chan []byte)
	go func() {
		f, err := os.Open(fifo)
		if err != nil {
			close(got)
			return
		}
		defer f.Close()
		b, _ := io.ReadAll(f)
		got <- b
	}()
	must(t, m.Save(context.Background(), fifo))
	if !bytes.Equal(<-got, written(t, m)) {
		t.Error("the pipe carried other bytes")
	}
	if info, err := os.Lstat(fifo); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Fatal("the pipe was replaced") // and so would be the devices below
	}
	must(t, m.Save(context.Background(), os.DevNull))
	if _, err := os.Stat("/dev/full"); err == nil && m.Save(context.Background(), "/dev/full") == nil {
		t.Error("writing to /dev/full succeeded")
	}
	from := t.TempDir()
	if err := externalNetwork(t, from).Save(context.Background(), os.DevNull); err == nil || !strings.Contains(err.Error(), "external data") {
		t.Errorf("external data to a device: %v", err)
	}
}

func TestSaveUneditedExternalData(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	m := externalNetwork(t, from)
	before := listing(t, from)
	must(t, m.Save(context.Background(), filepath.Join(to, "net.onnx")))
	sameListing(t, to, before) // the same three files
	must(t, m.Save(context.Background(), filepath.Join(to, "net.onnx")))
	sameListing(t, to, before)

	must(t, m.Save(context.Background(), filepath.Join(from, "copy.onnx")))
	before["copy.onnx"] = before["net.onnx"]
	sameListing(t, from, before)

	taken := t.TempDir()
	must(t, os.WriteFile(filepath.Join(taken, "one.data"), []byte("another network's"), 0o666))
	mine := listing(t, taken)
	if err := m.Save(context.Background(), filepath.Join(taken, "net.onnx")); err == nil || !strings.Contains(err.Error(), "one.data: exists with other content") {
		t.Errorf("a data file of another model in the way: %v", err)
	}
	sameListing(t, taken, mine)
}

// The data of an edited model go to one new file named after their content, and
// no file of the input is written to, wherever the output goes.
func TestSaveEditedExternalData(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	m := edited(t, externalNetwork(t, from))
	before := listing(t, from)
	must(t, m.Save(context.Background(), filepath.Join(to, "out.onnx")))
	sameListing(t, from, before)
	first := listing(t, to)
	data := dataFiles(first)
	if len(first) != 2 || len(data) != 1 || !strings.HasPrefix(data[0], "out.") {
		t.Fatalf("files %q, want out.onnx and out.<content>.data", keys(first))
	}
	if got := weights(t, filepath.Join(to, "out.onnx")); got != "12345678abcdefgh" {
		t.Errorf("weights %q", got)
	}
	// The same again writes the same, and leaves the data file alone.
	info, err := os.Stat(filepath.Join(to, data[0]))
	must(t, err)
	must(t, m.Save(context.Background(), filepath.Join(to, "out.onnx")))
	sameListing(t, to, first)
	if again, err := os.Stat(filepath.Join(to, data[0])); err != nil || !os.SameFile(info, again) {
		t.Errorf("the data file was written again (%v)", err)
	}

	// A damaged file of that name is no reason to trust it.
	must(t, os.WriteFile(filepath.Join(to, data[0]), make([]byte, info.Size()), 0o666))
	must(t, m.Save(context.Background(), filepath.Join(to, "out.onnx")))
	sameListing(t, to, first)

	// An edit of the output, saved in place, names its data file as before: the content is the same.
	again, err := onnxgraph.Open(filepath.Join(to, "out.onnx"))
	must(t, err)
	must(t, edited(t, again).Save(context.Background(), filepath.Join(to, "out.onnx")))
	if got := dataFiles(listing(t, to)); !slices.Equal(got, data) {
		t.Errorf("data files %q, want %q", got, data)
	}
	if got := weights(t, filepath.Join(to, "out.onnx")); got != "12345678abcdefgh" {
		t.Errorf("weights %q", got)
	}
	if _, err := again.Graph.Initializers[0].Raw(); err != nil {
		t.Errorf("external data of the replaced model: %v", err)
	}

	// In place of the input, the input's data files stay.
	must(t, m.Save(context.Background(), filepath.Join(from, "net.onnx")))
	after := listing(t, from)
	if after["one.data"] != before["one.data"] || after["sub/two.data"] != before["sub/two.data"] || len(after) != 4 {
		t.Errorf("files %q after saving in place", keys(after))
	}
	if got := weights(t, filepath.Join(from, "net.onnx")); got != "12345678abcdefgh" {
		t.Errorf("weights %q", got)
	}
}

func TestCheckerAcceptsRelocatedData(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.onnx")
	must(t, edited(t, externalNetwork(t, t.TempDir())).Save(context.Background(), out))
	oracle.Check(t, out)
}

func keys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func dataFiles(listing map[string]string) []string {
	return slices.DeleteFunc(keys(listing), func(s string) bool { return !strings.HasSuffix(s, ".data") })
}

// A model in use whose file is replaced says so, and does not read other bytes.
func TestReplacedFileIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.onnx")
	must(t, network(t).Save(context.Background(), path))
	m, err := onnxgraph.Open(path)
	must(t, err)
	must(t, edited(t, m).Save(context.Background(), path)) // reads its source before replacing it
	if _, err := m.Graph.Initializers[0].Raw(); err == nil || !strings.Contains(err.Error(), "has changed since it was opened") {
		t.Errorf("reading from the replaced file: %v", err)
	}
	if got := weights(t, path); got != "12345678abcdefgh" {
		t.Errorf("weights %q", got)
	}
}

func TestSaveIsDeterministic(t *testing.T) {
	from, one, two := t.TempDir(), t.TempDir(), t.TempDir()
	externalNetwork(t, from)
	for _, dir := range []string{one, two} {
		m, err := onnxgraph.Open(filepath.Join(from, "net.onnx"))
		must(t, err)
		must(t, edited(t, m).Save(context.Background(), filepath.Join(dir, "out.onnx")))
	}
	sameListing(t, one, listing(t, two))
}

func TestConcurrentSavesToOneTarget(t *testing.T) {
	dir := t.TempDir()
	m := externalNetwork(t, dir)
	out := filepath.Join(dir, "out.onnx")
	var variants []string
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for i := range cap(errs) {
		v, err := edited(t, m).Apply(&onnxgraph.Patch{Rule: "mark", Metadata: []onnxgraph.Property{{Key: "variant", Value: fmt.Sprint(i)}}})
		must(t, err)
		variants = append(variants, fmt.Sprint(i))
		wg.Go(func() { errs <- v.Save(context.Background(), out) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		must(t, err)
	}
	got, err := onnxgraph.Open(out)
	must(t, err)
	if p := got.Metadata; len(p) != 1 || !slices.Contains(variants, p[0].Value) {
		t.Errorf("metadata %v", p)
	}
	if w := weights(t, out); w != "12345678abcdefgh" {
		t.Errorf("weights %q", w)
	}
	if files := keys(listing(t, dir)); len(files) != 5 {
		t.Errorf("files %q, want the input's three, the output and its data", files)
	}
}

// room skips a test of huge files where they would not fit.
func room(t *testing.T, dir string, bytes uint64) {
	t.Helper()
	if testing.Short() {
		t.Skip("writes gigabytes")
	}
	if freeBytes(dir) < bytes {
		t.Skipf("needs %d GiB of disk", bytes>>30)
	}
}

// A sparse data file of 5 GiB with weights beyond 2 and 4 GiB.
func TestHugeDataFile(t *testing.T) {
	dir := t.TempDir()
	room(t, dir, 1<<30)
	data, err := os.Create(filepath.Join(dir, "w.data"))
	must(t, err)
	must(t, data.Truncate(5<<30))
	s := plain()
	for i, offset := range []int64{1<<31 + 12, 1<<32 + 20} {
		_, err := data.WriteAt(binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(i)+7)), offset)
		must(t, err)
		s.inits = append(s.inits, externalTensor(fmt.Sprint("w", i), "location", "w.data", "offset", fmt.Sprint(offset)))
	}
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "net.onnx")
	must(t, os.WriteFile(path, s.bytes(), 0o666))
	m, err := onnxgraph.Open(path)
	must(t, err)
	must(t, m.Validate())
	for i, x := range m.Graph.Initializers {
		got, err := x.Float32s()
		must(t, err)
		if got[0] != float32(i)+7 || got[1] != 0 {
			t.Errorf("%s reads %v", x.Name, got)
		}
	}
	out := filepath.Join(t.TempDir(), "out.onnx")
	must(t, edited(t, m).Save(context.Background(), out)) // takes 16 bytes of the 5 GiB
	want, err := m.Graph.Initializers[1].Raw()
	must(t, err)
	if got := weights(t, out); got[8:] != string(want) {
		t.Errorf("saved weights %q, want %q", got[8:], want)
	}
}

// A model of more than 2 GiB in one file, as no protobuf library reads it: it
// opens, an unchanged copy is refused, and an edited one gets external data.
func TestHugeModelFile(t *testing.T) {
	dir := t.TempDir()
	room(t, dir, 8<<30)
	const n = 1100 << 20 // bytes of each of two weights
	path := filepath.Join(dir, "net.onnx")
	writeHugeModel(t, path, n)
	m, err := onnxgraph.Open(path)
	must(t, err)
	must(t, m.Validate())
	if m.Size() < 1<<31 {
		t.Fatalf("the model has %d bytes", m.Size())
	}
	out := filepath.Join(dir, "out.onnx")
	if err := m.Save(context.Background(), out); err == nil || !strings.Contains(err.Error(), "2 GiB") {
		t.Errorf("an unchanged copy: %v", err)
	}
	must(t, edited(t, m).Save(context.Background(), out))
	got, err := onnxgraph.Open(out)
	must(t, err)
	must(t, got.Validate())
	if got.Size() > 1<<20 {
		t.Errorf("the file has %d bytes beside its data", got.Size())
	}
	for i, x := range got.Graph.Initializers {
		r, err := x.Open()
		must(t, err)
		tail := make([]byte, 8)
		_, err = io.CopyN(io.Discard, r, n-8)
		must(t, err)
		_, err = io.ReadFull(r, tail)
		must(t, err)
		must(t, r.Close())
		if want := fmt.Sprintf("weight %d", i); string(tail) != want {
			t.Errorf("%s ends in %q, want %q", x.Name, tail, want)
		}
	}
}

// writeHugeModel writes y = Relu(x) with two unused weights of n bytes, holes
// but for their last 8 bytes.
func writeHugeModel(t *testing.T, path string, n int64) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	head := plain().graph()
	weight := func(i int) pb { return tensor(fmt.Sprint("w", i), onnxgraph.Float32, n/4) }
	// A message whose last field is raw_data without its n bytes.
	open := func(num int, body pb, inside int64) pb {
		b := binary.AppendUvarint(nil, uint64(num)<<3|2)
		return append(binary.AppendUvarint(b, uint64(int64(len(body))+inside)), body...)
	}
	var parts []pb
	size := int64(len(head))
	for i := range 2 {
		raw := open(9, nil, n)
		part := open(5, append(weight(i), raw...), n)
		parts = append(parts, part)
		size += int64(len(part)) + n
	}
	start := append(pb{}.int(1, 8).msg(8, pb{}.int(2, 13)), open(7, head, size-int64(len(head)))...)
	_, err = f.Write(start)
	must(t, err)
	at := int64(len(start))
	for i, p := range parts {
		_, err = f.WriteAt(p, at)
		must(t, err)
		at += int64(len(p)) + n
		_, err = f.WriteAt(fmt.Appendf(nil, "weight %d", i), at-8)
		must(t, err)
	}
}
