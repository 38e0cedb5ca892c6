package check

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

func save(t *testing.T, m *onnxgraph.Model, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func skipped(r Result, rule string) string {
	for _, s := range r.Skipped {
		if s.Rule == rule {
			return s.Reason
		}
	}
	return ""
}

// What cannot be checked is skipped with the reason, and is no pass.
func TestSkipped(t *testing.T) {
	is := func(key, value string) [][2]string { return [][2]string{{key, value}} }
	custom := madeOf(t, "Magic")
	invalid := net(t, node("Conv", "stem", "a", "b"))
	for _, test := range []struct {
		name   string
		file   trialFile
		rule   string
		reason string
	}{
		{"a test of an operator that the engine lacks", trialFile{model: custom, beside: testSetOf(-1)}, "NAT015", "Magic"},
		{"latency of an operator that the engine lacks", trialFile{model: custom, settings: is("max-latency", "1s")}, "NAT010", "Magic"},
		{"drift of an operator that the engine lacks", trialFile{model: custom, against: net(t)}, "NAT012", "Magic"},
		{"a cost that is not known", trialFile{model: custom, settings: is("max-madds", "1")}, "NAT007", "cost of graph.node[0]"},
		{"an invalid graph", trialFile{model: invalid, settings: is("max-madds", "1")}, "NAT007", "the model is invalid"},
		{"an invalid graph's blocks", trialFile{model: invalid}, "NAT019", "the model is invalid"},
		{"weights that are not there", trialFile{bytes: withExternal(t, "w.bin")}, "NAT011", "external data are missing"},
		{"no model", trialFile{bytes: []byte("text")}, "NAT026", "there is no model"},
		{"growth without a base", trialFile{model: net(t), settings: is("max-growth", "3%")}, "NAT014", "no base was given"},
		{"a share without a base", trialFile{model: dense(t), settings: is("max-params", "90%")}, "NAT006", "no base was given"},
		{"a probe of an open size", trialFile{model: open(t), against: openTwin(t)}, "NAT012", "its size is open"},
		{"half a test set", trialFile{model: net(t), beside: func(t *testing.T, dir string) {
			testSetOf(-1)(t, dir)
			if err := os.Remove(filepath.Join(dir, "test_data_set_0", "output_0.pb")); err != nil {
				t.Fatal(err)
			}
		}}, "NAT015", "output_0.pb"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := checked(t, test.file)
			if reason := skipped(r, test.rule); !strings.Contains(reason, test.reason) || reason == "" {
				t.Errorf("skipped for %q, want %q; %+v", reason, test.reason, r.Findings)
			}
			if slices.Contains(r.Checked, test.rule) {
				t.Errorf("%s counts as checked", test.rule)
			}
			strict := test.file
			strict.settings = append(slices.Clone(strict.settings), [2]string{"strict", "true"})
			if r := checked(t, strict); len(of(r, test.rule)) == 0 || len(r.Skipped) > 0 || slices.Contains(r.Checked, test.rule) {
				t.Errorf("strict: %+v", r)
			}
		})
	}
}

// madeOf is a network of one operator.
func madeOf(t *testing.T, op string) *onnxgraph.Model {
	t.Helper()
	b := onnxgraph.NewBuilder("g", 13)
	shape := onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(4)}
	b.Input("x", onnxgraph.Float32, shape)
	b.Add(onnxgraph.NewNode(op, "only", []string{"x"}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, shape)
	m, err := b.Model("net.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// open is a network whose input has an open size.
func open(t *testing.T) *onnxgraph.Model     { return sized(t, "height") }
func openTwin(t *testing.T) *onnxgraph.Model { return sized(t, "size") }

func sized(t *testing.T, size string) *onnxgraph.Model {
	t.Helper()
	b := onnxgraph.NewBuilder("g", 13)
	shape := onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Symbol(size)}
	b.Input("x", onnxgraph.Float32, shape)
	b.Add(onnxgraph.NewNode("Relu", "act", []string{"x"}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, shape)
	m, err := b.Model("net.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A base that cannot be read is a finding of every rule that needs it.
func TestBrokenBase(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "base.onnx")
	if err := os.WriteFile(base, []byte("version https://git-lfs.github.com/spec/v1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := (*Config)(nil).For("", []Setting{{Key: "max-growth", Values: []string{"1%"}}, {Key: "max-params", Values: []string{"50%"}}})
	if err != nil {
		t.Fatal(err)
	}
	path := save(t, dense(t), dir, "net.onnx")
	r, err := Run(context.Background(), []File{{Path: path, Against: base, Settings: s}, {Path: path, Against: filepath.Join(dir, "missing.onnx"), Settings: s}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range r.Results {
		for _, rule := range []string{"NAT006", "NAT012", "NAT013", "NAT014"} {
			if f := of(result, rule); len(f) != 1 || !strings.Contains(f[0].Message, "cannot be read") {
				t.Errorf("%s: %+v", rule, f)
			}
		}
	}
}

// The report does not depend on the number of jobs, and a base of the same
// content needs no probes.
func TestDeterministic(t *testing.T) {
	dir := t.TempDir()
	var files []File
	for i, width := range []float64{0.25, 0.5, 0.5, 1} {
		m, err := fixtures.Build("resnet14", fixtures.Options{Width: width, Seed: uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{Path: save(t, m, dir, string(rune('a'+i))+".onnx")})
		files[i].Against = files[0].Path
	}
	text := func(jobs int) string {
		r, err := Run(context.Background(), files, Options{Jobs: jobs})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if f := r.Results[0].Findings; len(f) > 0 {
			t.Errorf("a model differs from itself: %+v", f)
		}
		if d := r.Results[1].Measures.Drift; d == nil || d.Inputs != maxProbes || !(d.Relative > 0) {
			t.Errorf("drift is %+v", d)
		}
		return string(b)
	}
	if one, four := text(1), text(4); one != four {
		t.Errorf("one job:\n%s\nfour jobs:\n%s", one, four)
	}
}

// An infinite distance is a finding, and nothing that JSON cannot say.
func TestInfiniteDrift(t *testing.T) {
	was := dense(t)
	is := dense(t, float32(math.Inf(1)))
	r := checked(t, trialFile{model: is, against: was})
	if len(of(r, "NAT012"))+len(of(r, "NAT011")) < 2 {
		t.Errorf("found %+v, skipped %+v", r.Findings, r.Skipped)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

// Networks that run never take more memory together than allowed: one that
// would is skipped.
func TestMemory(t *testing.T) {
	dir := t.TempDir()
	path := save(t, dense(t), dir, "net.onnx")
	base := save(t, dense(t, 1e-6), dir, "base.onnx")
	r, err := Run(context.Background(), []File{{Path: path, Against: base}}, Options{Memory: 100})
	if err != nil {
		t.Fatal(err)
	}
	if why := skipped(r.Results[0], "NAT012"); !strings.Contains(why, "100 are allowed") {
		t.Errorf("skipped for %q", why)
	}
}

// Files that want all of the memory, and to be alone, take turns.
func TestTurns(t *testing.T) {
	dir := t.TempDir()
	path, base := save(t, dense(t), dir, "net.onnx"), save(t, dense(t, 1e-6), dir, "base.onnx")
	s, err := (*Config)(nil).For("", []Setting{{Key: "max-latency", Values: []string{"1m"}}})
	if err != nil {
		t.Fatal(err)
	}
	files := make([]File, 24)
	for i := range files {
		files[i] = File{Path: path, Against: base, Settings: s}
	}
	r, err := Run(context.Background(), files, Options{Jobs: 8, Memory: 300})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range r.Results {
		if len(x.Skipped) > 0 || x.Measures.Latency == nil || x.Measures.Drift == nil {
			t.Errorf("%+v", x)
		}
	}
}

func TestReserve(t *testing.T) {
	r := newReserve(10)
	if _, ok := r.take(11); ok {
		t.Error("11 of 10 were lent")
	}
	back, ok := r.take(7)
	if !ok {
		t.Fatal("7 of 10 were not lent")
	}
	lent := make(chan bool)
	go func() {
		back, _ := r.take(4)
		lent <- true
		back()
	}()
	select {
	case <-lent:
		t.Fatal("11 of 10 were lent")
	default:
	}
	back()
	<-lent
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, []File{{Path: save(t, net(t), t.TempDir(), "a.onnx")}}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestFailed(t *testing.T) {
	r := &Report{FailOn: Warning, Results: []Result{{}, {Findings: []Finding{{Severity: Note}}}}}
	if r.Failed() {
		t.Error("a note fails where warnings would")
	}
	r.Results = append(r.Results, Result{Findings: []Finding{{Severity: Error}}})
	if !r.Failed() {
		t.Error("an error does not fail")
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	for _, name := range []string{"a.onnx", "B.ONNX", "d/c.onnx", "d/e/f.onnx", "d/e/g.txt", ".git/x.onnx", "d/.cache/y.onnx", "x[1].onnx"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("d", "link"); err != nil {
		t.Skip(err)
	}
	for arg, want := range map[string]string{
		"link":                               "link/c.onnx link/e/f.onnx",
		".":                                  "B.ONNX a.onnx d/c.onnx d/e/f.onnx x[1].onnx",
		"d":                                  "d/c.onnx d/e/f.onnx",
		"a.onnx":                             "a.onnx",
		"d/e/g.txt":                          "d/e/g.txt",
		"*.onnx":                             "a.onnx x[1].onnx",
		"d/*/*":                              "d/e/f.onnx d/e/g.txt",
		"**/f*":                              "d/e/f.onnx",
		"d/**/*.onnx":                        "d/c.onnx d/e/f.onnx",
		"x[1].onnx":                          "x[1].onnx",
		"nothing*":                           "",
		"./d/../d/c.onnx":                    "./d/../d/c.onnx",
		filepath.ToSlash(root) + "/d/*.onnx": filepath.ToSlash(root) + "/d/c.onnx",
	} {
		list, err := Find(t.Context(), filepath.FromSlash(arg))
		var paths []string
		for _, f := range list {
			paths = append(paths, filepath.ToSlash(f.Path))
		}
		if found := strings.Join(paths, " "); err != nil || found != want {
			t.Errorf("%s: %s, %v; want %s", arg, found, err, want)
		}
	}
	for _, arg := range []string{"missing.onnx", "missing/*.onnx"} {
		if _, err := Find(t.Context(), arg); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", arg, err)
		}
	}
	if _, err := Find(t.Context(), "d/[*.onnx"); err == nil {
		t.Error("a broken pattern is none")
	}
}

func TestBase(t *testing.T) {
	dir := t.TempDir()
	m := net(t)
	save(t, m, dir, "base", "a.onnx")
	save(t, m, dir, "base", "sub", "b.onnx")
	base := filepath.Join(dir, "base")
	for _, test := range []struct {
		against string
		f       Found
		want    string
	}{
		{base, Found{"new/a.onnx", "a.onnx"}, "base/a.onnx"},
		{base, Found{"new/sub/b.onnx", "sub/b.onnx"}, "base/sub/b.onnx"},
		{base, Found{"new/other/b.onnx", "other/b.onnx"}, ""},
		{base, Found{"sub/b.onnx", "sub/b.onnx"}, "base/sub/b.onnx"},
		{base, Found{"/abs/a.onnx", "/abs/a.onnx"}, "base/a.onnx"},
		{base, Found{"../a.onnx", "../a.onnx"}, "base/a.onnx"},
		{filepath.Join(base, "a.onnx"), Found{"x.onnx", "x.onnx"}, "base/a.onnx"},
	} {
		path, missing := Base(test.against, test.f)
		if test.want == "" {
			if path != "" || !strings.Contains(missing, "the model is new") {
				t.Errorf("%+v: %s, %s", test.f, path, missing)
			}
			continue
		}
		if path != filepath.Join(dir, filepath.FromSlash(test.want)) || missing != "" {
			t.Errorf("%+v: %s, %s", test.f, path, missing)
		}
	}
}

// The ONNX project's own models keep what they promise, as far as the engine
// can tell; the four exceptions ship inputs of another shape than they declare.
func TestConformanceModelsPass(t *testing.T) {
	var files []File
	for _, p := range corpus.Conformance(t) {
		files = append(files, File{Path: p})
	}
	r, err := Run(context.Background(), files, Options{Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, x := range r.Results {
		if slices.Contains(x.Checked, "NAT015") {
			ran++
		}
		for _, f := range x.Findings {
			misshapen := f.Rule == "NAT015" && strings.Contains(f.Path, "/test_castlike_") && strings.Contains(f.Path, "BFLOAT16")
			if f.Severity == Error && !misshapen {
				t.Errorf("%+v", f)
			}
		}
	}
	if len(files) > 1000 && ran < 700 {
		t.Errorf("the test data of %d models were checked", ran)
	}
}

// Real models: what is known to be wrong with them is found, and no more.
func TestRealModels(t *testing.T) {
	var files []File
	for _, p := range corpus.Models(t) {
		files = append(files, File{Path: p})
	}
	r, err := Run(context.Background(), files, Options{Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{ // see the folder's README
		"aerox_vgg11.onnx": "NAT001", "zigzag_resnet18.onnx": "NAT003", "m25_resnet18.onnx": "NAT003",
		"m25_mobilenetv2.onnx": "NAT003", "kakao16_mobilenetv2_cifar10.onnx": "NAT003",
	}
	for _, x := range r.Results {
		want, failed := known[filepath.Base(x.Path)], ""
		for _, f := range x.Findings {
			if f.Severity == Error {
				failed = f.Rule
			}
		}
		if _, stated := known[filepath.Base(x.Path)]; stated && failed != want {
			t.Errorf("%s: %s, want %s", x.Path, failed, want)
		}
	}
}
