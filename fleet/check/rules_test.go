package check

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/transformer"
)

// A trial is two files and their settings: one that a rule finds fault with,
// and one that it passes.
type trial struct {
	bad, good trialFile
	message   string // part of what is said of the bad one
	where     string // part of the place
}

type trialFile struct {
	model    *onnxgraph.Model // saved, or
	bytes    []byte           // written as it is
	settings [][2]string      // key, value
	policy   transformer.Policy
	against  *onnxgraph.Model               // the base
	beside   func(t *testing.T, dir string) // writes more files
}

// net is a small network: x -> Relu -> y, and what extra adds.
func net(t *testing.T, extra ...func(*onnxgraph.Builder)) *onnxgraph.Model {
	t.Helper()
	return netOf(t, 13, onnxgraph.Const(1), "x", extra...)
}

func netOf(t *testing.T, opset int64, batch onnxgraph.Dim, input string, extra ...func(*onnxgraph.Builder)) *onnxgraph.Model {
	t.Helper()
	b := onnxgraph.NewBuilder("g", opset)
	shape := onnxgraph.Shape{batch, onnxgraph.Const(4)}
	b.Input(input, onnxgraph.Float32, shape)
	b.Add(onnxgraph.NewNode("Relu", "act", []string{input}, []string{"a"}))
	for _, f := range extra {
		f(b)
	}
	b.Add(onnxgraph.NewNode("Neg", "last", []string{"a"}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, shape)
	m, err := b.Model("net.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// dense is a matrix product with those weights, 4 x 4.
func dense(t *testing.T, weights ...float32) *onnxgraph.Model {
	t.Helper()
	data := make([]float32, 16)
	for i := range data {
		data[i] = float32(i) / 16
	}
	copy(data, weights)
	b := onnxgraph.NewBuilder("g", 13)
	shape := onnxgraph.Shape{onnxgraph.Symbol("n"), onnxgraph.Const(4)}
	b.Input("x", onnxgraph.Float32, shape)
	w := b.Init(onnxgraph.NewFloat32s("w", []int64{4, 4}, data))
	b.Add(onnxgraph.NewNode("MatMul", "product", []string{"x", w}, []string{"y"}))
	b.Output("y", onnxgraph.Float32, shape)
	m, err := b.Model("net.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func node(op, name, in, out string, attrs ...*onnxgraph.Attribute) func(*onnxgraph.Builder) {
	return func(b *onnxgraph.Builder) {
		b.Add(onnxgraph.NewNode(op, name, strings.Fields(in), strings.Fields(out), attrs...))
	}
}

func entry(key, value string) func(*onnxgraph.Builder) {
	return func(b *onnxgraph.Builder) {
		b.Metadata = append(b.Metadata, onnxgraph.Property{Key: key, Value: value})
	}
}

func weight(name string, dims ...int64) func(*onnxgraph.Builder) {
	return func(b *onnxgraph.Builder) {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		b.Init(onnxgraph.NewFloat32s(name, dims, make([]float32, n)))
	}
}

// testSetOf writes a test_data_set_0 with an input of ones and the given output.
func testSetOf(output float32) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		set := filepath.Join(dir, "test_data_set_0")
		if err := os.Mkdir(set, 0o777); err != nil {
			t.Fatal(err)
		}
		for name, x := range map[string]float32{"input_0.pb": 1, "output_0.pb": output} {
			// A TensorProto: dims 1, 4 (field 1), data_type float (2), raw_data (9).
			pb := []byte{0x08, 1, 0x08, 4, 0x10, 1, 0x4a, 16}
			for range 4 {
				pb = binary.LittleEndian.AppendUint32(pb, math.Float32bits(x))
			}
			if err := os.WriteFile(filepath.Join(set, name), pb, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// trials has an entry for every rule.
func trials(t *testing.T) map[string]trial {
	float64Net := func() *onnxgraph.Model {
		b := onnxgraph.NewBuilder("g", 13)
		shape := onnxgraph.Shape{onnxgraph.Const(1), onnxgraph.Const(2)}
		b.Input("x", onnxgraph.Float64, shape)
		w := b.Init(onnxgraph.NewTensor("w", onnxgraph.Float64, []int64{2, 2}, make([]byte, 32)))
		b.Add(onnxgraph.NewNode("MatMul", "m", []string{"x", w}, []string{"y"}))
		b.Output("y", onnxgraph.Float64, shape)
		m, err := b.Model("net.onnx")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	resnet := func(width float64) *onnxgraph.Model {
		m, err := fixtures.Build("resnet14", fixtures.Options{Width: width})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	plain, product := net(t), dense(t)
	is := func(key, value string) [][2]string { return [][2]string{{key, value}} }
	good := trialFile{model: plain}
	identity := net(t, node("Identity", "same", "a", "b"), node("Relu", "again", "b", "c"))
	return map[string]trial{
		"NAT001": {bad: trialFile{model: net(t, node("Conv", "stem", "a", "b"))}, good: good, message: "inputs", where: `graph.node[1] (Conv "stem")`},
		"NAT002": {bad: trialFile{bytes: []byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n")}, good: good, message: "git lfs pull"},
		"NAT003": {bad: trialFile{bytes: withExternal(t, "w.bin")}, good: trialFile{bytes: withExternal(t, "w.bin"), beside: func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 64), 0o666); err != nil {
				t.Fatal(err)
			}
		}}, message: "w.bin", where: `graph.initializer[0] "w"`},
		"NAT004": {bad: trialFile{model: plain, settings: is("min-opset", "14")}, good: trialFile{model: plain, settings: is("max-opset", "13")}, message: "the opset is 13, want 14 or more"},
		"NAT005": {bad: trialFile{model: plain, settings: is("max-ir-version", "7")}, good: trialFile{model: plain, settings: is("max-ir-version", "8")}, message: "the IR version is 8, want 7 or less"},
		"NAT006": {bad: trialFile{model: product, settings: is("max-params", "15")}, good: trialFile{model: product, settings: is("max-params", "16")}, message: "16 parameters, the budget is 15"},
		"NAT007": {bad: trialFile{model: product, settings: is("max-madds", "15")}, good: trialFile{model: product, settings: is("max-madds", "16")}, message: "16 multiply-adds"},
		"NAT008": {bad: trialFile{model: product, settings: is("max-memory", "31")}, good: trialFile{model: product, settings: is("max-memory", "32")}, message: "32 bytes of activation memory"},
		"NAT009": {bad: trialFile{model: product, settings: is("max-size", "64B")}, good: trialFile{model: product, settings: is("max-size", "1kB")}, message: "the budget is 64"},
		"NAT010": {bad: trialFile{model: product, settings: is("max-latency", "1ns")}, good: trialFile{model: product, settings: is("max-latency", "10s")}, message: "the budget is 1ns"},
		"NAT011": {bad: trialFile{model: dense(t, 0, 0, float32(math.NaN()))}, good: trialFile{model: product}, message: "the first is element 2", where: `"w"`},
		"NAT012": {bad: trialFile{model: dense(t, 0.5), against: product}, good: trialFile{model: dense(t, 1e-6), against: product}, message: "the tolerance is 0.001", where: `graph.output[0] "y"`},
		"NAT013": {bad: trialFile{model: netOf(t, 13, onnxgraph.Const(2), "x"), against: plain}, good: trialFile{model: plain, against: net(t, weight("unused", 1))}, message: "float32 1x4 and is float32 2x4", where: `graph.input[0] "x"`},
		"NAT014": {bad: trialFile{model: resnet(0.5), against: resnet(0.25), settings: is("max-growth", "10%")},
			good: trialFile{model: resnet(0.5), against: resnet(0.5), settings: is("max-growth", "0%")}, message: "parameters grew by"},
		"NAT015": {bad: trialFile{model: plain, beside: testSetOf(1)}, good: trialFile{model: plain, beside: testSetOf(-1)}, message: "element 0 is -1, want 1", where: "test_data_set_0/output_0.pb"},
		"NAT016": {bad: trialFile{model: identity}, good: trialFile{model: plain}, message: "passes its input on", where: `(Identity "same")`},
		"NAT017": {bad: trialFile{model: net(t, node("Abs", "idle", "a", "b"))}, good: trialFile{model: plain}, message: "no output needs it", where: `(Abs "idle")`},
		"NAT018": {bad: trialFile{model: net(t, weight("u", 256), weight("v", 256))}, good: trialFile{model: net(t, weight("u", 255), weight("v", 255))}, message: `holds the same 1,024 bytes as "u"`, where: `"v"`},
		"NAT019": {bad: trialFile{model: resnet(0.5), policy: remover(t)}, good: trialFile{model: resnet(0.5)}, message: "the policy remover would replace conv_3x3 in cell layer1.0 by skip, saving", where: `(Conv "`},
		"NAT020": {bad: trialFile{model: plain, settings: is("required-metadata", "licence")}, good: trialFile{model: net(t, entry("licence", "MIT")), settings: is("required-metadata", "licence")}, message: `has no key "licence"`},
		"NAT021": {bad: trialFile{model: net(t, entry("a", "1"), entry("a", "2"))}, good: trialFile{model: net(t, entry("a", "1"), entry("b", "2"))}, message: "twice", where: "metadata_props[1]"},
		"NAT022": {bad: trialFile{model: net(t, node("Relu", "act", "a", "b"))}, good: good, message: "has the name of graph.node[0]", where: `graph.node[1]`},
		"NAT023": {bad: trialFile{model: netOf(t, 13, onnxgraph.Const(1), "x", node("HardSwish", "h", "a", "b"))}, good: trialFile{model: netOf(t, 14, onnxgraph.Const(1), "x", node("HardSwish", "h", "a", "b"))}, message: "HardSwish came with opset 14"},
		"NAT024": {bad: trialFile{model: float64Net()}, good: trialFile{model: product}, message: "float64"},
		"NAT025": {bad: trialFile{model: plain, settings: is("batch", "dynamic")}, good: trialFile{model: product, settings: is("batch", "dynamic")}, message: "the batch is fixed to 1", where: `graph.input[0] "x"`},
		"NAT026": {bad: trialFile{model: net(t, entry("natonnx.retrain", "required"))}, good: trialFile{model: net(t, entry("natonnx.retrain", "optional"))}, message: "retrain"},
	}
}

// remover is a policy that wants every operation to become a skip.
func remover(t *testing.T) transformer.Policy {
	t.Helper()
	params := transformer.GCNParams(transformer.NAT, 1, 1, 2)
	for i, p := range params {
		params[i].Data = make([]float64, p.Rows*p.Cols)
	}
	copy(params[len(params)-1].Data, []float64{-9, 0, 9})
	policy, err := transformer.NewGCN(transformer.Card{Name: "remover", Kind: "gcn", Rules: "nat"}, params)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// withExternal is the network of dense with its weights in a data file.
func withExternal(t *testing.T, file string) []byte {
	t.Helper()
	m := dense(t)
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return externalized(b.Bytes(), file)
}

// checked runs one file.
func checked(t *testing.T, f trialFile) Result {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "net.onnx")
	file := File{Path: path}
	save := func(m *onnxgraph.Model, path string) {
		if err := m.Save(context.Background(), path); err != nil {
			t.Fatal(err)
		}
	}
	if f.bytes != nil {
		if err := os.WriteFile(path, f.bytes, 0o666); err != nil {
			t.Fatal(err)
		}
	} else {
		save(f.model, path)
	}
	if f.against != nil {
		file.Against = filepath.Join(t.TempDir(), "base.onnx")
		save(f.against, file.Against)
	}
	if f.beside != nil {
		f.beside(t, dir)
	}
	var list []Setting
	for _, s := range f.settings {
		list = append(list, Setting{Key: s[0], Values: []string{s[1]}})
	}
	var err error
	if file.Settings, err = (*Config)(nil).For(path, list); err != nil {
		t.Fatal(err)
	}
	r, err := Run(context.Background(), []File{file}, Options{Policy: f.policy})
	if err != nil {
		t.Fatal(err)
	}
	return r.Results[0]
}

func of(r Result, rule string) (list []Finding) {
	for _, f := range r.Findings {
		if f.Rule == rule {
			list = append(list, f)
		}
	}
	return list
}

// Every rule fires where it should, says what and where, and not elsewhere.
func TestRules(t *testing.T) {
	all := trials(t)
	for _, rule := range Rules {
		t.Run(rule.ID, func(t *testing.T) {
			x, ok := all[rule.ID]
			if !ok {
				t.Fatal("no trial")
			}
			bad := checked(t, x.bad)
			found := of(bad, rule.ID)
			if len(found) == 0 {
				t.Fatalf("not found; %+v, skipped %+v", bad.Findings, bad.Skipped)
			}
			f := found[0]
			if !strings.Contains(f.Message, x.message) || !strings.Contains(f.Where, x.where) || f.Severity != rule.Severity || f.Path != bad.Path {
				t.Errorf("found %+v, want %q at %q", f, x.message, x.where)
			}
			good := checked(t, x.good)
			if found := of(good, rule.ID); len(found) > 0 {
				t.Errorf("found %+v where nothing is wrong", found)
			}
			for _, s := range good.Skipped {
				if s.Rule == rule.ID {
					t.Errorf("skipped: %s", s.Reason)
				}
			}
		})
	}
}

// The table, the procedures and the pages are about the same rules.
func TestPages(t *testing.T) {
	if len(procedures) != len(Rules) {
		t.Errorf("%d procedures for %d rules", len(procedures), len(Rules))
	}
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "rules", "NAT*.md"))
	if err != nil || len(pages) != len(Rules) {
		t.Errorf("%d pages for %d rules: %v", len(pages), len(Rules), err)
	}
	index, err := os.ReadFile("../../docs/rules/README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i, r := range Rules {
		if want := "NAT" + regexp.MustCompile(`\d{3}$`).FindString(r.ID); r.ID != want || i > 0 && r.ID <= Rules[i-1].ID {
			t.Errorf("rule %d is %s", i, r.ID)
		}
		if names[r.Name] || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(r.Name) {
			t.Errorf("%s is called %q", r.ID, r.Name)
		}
		names[r.Name] = true
		if procedures[r.ID].check == nil {
			t.Errorf("%s has no procedure", r.ID)
		}
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(r.Page())))
		if err != nil {
			t.Error(err)
			continue
		}
		page := string(text)
		for _, want := range []string{"# " + r.ID + ": " + r.Name + "\n", "Severity: " + string(r.Severity) + "\n", "\n## Why\n", "\n## What to do\n", "\n## Configuring\n"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not say %q", r.Page(), want)
			}
		}
		if row := "| [" + r.ID + "](" + r.ID + ".md) | " + r.Name + " | " + string(r.Severity) + " | " + r.Summary + " |\n"; !strings.Contains(string(index), row) {
			t.Errorf("docs/rules/README.md does not say %s", row)
		}
		_, example, _ := strings.Cut(page, "```yaml\n")
		example, _, _ = strings.Cut(example, "```")
		if _, err := ParseConfig(r.Page(), []byte(example)); err != nil || example == "" {
			t.Errorf("the example is wrong: %v", err)
		}
		for _, key := range regexp.MustCompile("`([a-z-]+):").FindAllStringSubmatch(page, -1) {
			if !known(key[1]) {
				t.Errorf("%s names the key %s, which there is not", r.Page(), key[1])
			}
		}
	}
}

func known(key string) bool {
	for _, k := range append(keys(), "fail-on", "against", "overrides", "files") {
		if k == key {
			return true
		}
	}
	_, err := FindRule(key)
	return err == nil
}
