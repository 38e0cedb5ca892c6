package onnxgraph_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

// residual is a small residual block, with a dead node that is nobody's fault:
//
//	y = Relu(x + Mul(Mul(x, w1), w2)), dead = Neg(x)
//
// Each constant has value_info and a quantization annotation.
func residual(t testing.TB, ir int64) *onnxgraph.Model {
	t.Helper()
	s := plain()
	s.ir, s.opset = ir, 8
	s.nodes = []pb{
		node("Mul", "m1", names("x", "w1"), names("a")),
		node("Neg", "dead", names("x"), names("unread")),
		node("Mul", "m2", names("a", "w2"), names("b")),
		node("Add", "add", names("x", "b"), names("c")),
		node("Relu", "relu", names("c"), names("y")),
	}
	s.inputs, s.outputs = []pb{value("x", 1, 2)}, []pb{value("y", 1, 2)}
	for _, w := range names("w1", "w2", "unused") {
		s.inits = append(s.inits, tensor(w, onnxgraph.Float32, 2).str(9, "\x00\x00\x80\x3f\x00\x00\x00\x40"))
		s.graphTail = s.graphTail.msg(14, pb{}.str(1, w))
		if ir < 4 {
			s.inputs = append(s.inputs, value(w, 2))
		}
	}
	for _, v := range names("a", "b", "c", "w1") {
		s.graphTail = s.graphTail.msg(13, value(v, 1, 2))
	}
	m, err := onnxgraph.Parse("net.onnx", s.bytes())
	must(t, err)
	must(t, m.Validate())
	return m
}

func byName(t testing.TB, m *onnxgraph.Model, name string) *onnxgraph.Node {
	t.Helper()
	for _, n := range m.Graph.Nodes {
		if n.Name == name {
			return n
		}
	}
	t.Fatalf("no node %q", name)
	return nil
}

func apply(t testing.TB, m *onnxgraph.Model, p *onnxgraph.Patch) *onnxgraph.Model {
	t.Helper()
	if p.Rule == "" {
		p.Rule = "test"
	}
	out, err := m.Apply(p)
	must(t, err)
	again := reparse(t, out) // what is in memory is what is written
	if got, want := outline(out.Graph), outline(again.Graph); got != want {
		t.Fatalf("in memory:\n%s\nas written:\n%s", got, want)
	}
	must(t, out.Validate())
	return again
}

// order lists the nodes' names.
func order(m *onnxgraph.Model) string {
	var out []string
	for _, n := range m.Graph.Nodes {
		out = append(out, n.Name)
	}
	return strings.Join(out, " ")
}

func tensorNames(m *onnxgraph.Model) string {
	var out []string
	for _, t := range m.Graph.Initializers {
		out = append(out, t.Name)
	}
	return strings.Join(out, " ")
}

func valueNames(list []*onnxgraph.Value) string {
	var out []string
	for _, v := range list {
		out = append(out, v.Name)
	}
	return strings.Join(out, " ")
}

// The branch loses its reader: it and its constants go, with all that is said of
// them; what was dead or unused before stays.
func TestApplyBuriesWhatItKilled(t *testing.T) {
	for _, ir := range []int64{3, 8} {
		m := residual(t, ir)
		before := written(t, m)
		add := byName(t, m, "add")
		got := apply(t, m, &onnxgraph.Patch{Rewire: []onnxgraph.Rewire{{Node: add, Input: 1, To: "x"}}})
		if o := order(got); o != "dead add relu" {
			t.Errorf("IR %d: nodes %s", ir, o)
		}
		if w := tensorNames(got); w != "unused" {
			t.Errorf("IR %d: initializers %s", ir, w)
		}
		want := map[int64]string{3: "x unused", 8: "x"}[ir]
		if in := valueNames(got.Graph.Inputs); in != want {
			t.Errorf("IR %d: inputs %s, want %s", ir, in, want)
		}
		if v := valueNames(got.Graph.ValueInfo); v != "c" {
			t.Errorf("IR %d: value_info %s", ir, v)
		}
		if out := written(t, got); bytes.Contains(out, []byte("w1")) || !bytes.Contains(out, []byte("unused")) {
			t.Errorf("IR %d: a quantization annotation stays, or a foreign one went", ir)
		}
		if !bytes.Equal(written(t, m), before) {
			t.Errorf("IR %d: the patched model itself has changed", ir)
		}
	}
}

// A constant with another reader stays, and so does a node.
func TestApplyKeepsWhatOthersRead(t *testing.T) {
	m := residual(t, 8)
	m = apply(t, m, &onnxgraph.Patch{Rewire: []onnxgraph.Rewire{{Node: byName(t, m, "m2"), Input: 1, To: "w1"}}})
	if w := tensorNames(m); w != "w1 unused" {
		t.Errorf("initializers %s", w)
	}
	m = apply(t, m, &onnxgraph.Patch{Rewire: []onnxgraph.Rewire{{Node: byName(t, m, "m2"), Input: 0, To: "x"}}})
	if o, w := order(m), tensorNames(m); o != "dead m2 add relu" || w != "w1 unused" {
		t.Errorf("nodes %s, initializers %s", o, w)
	}
}

func TestApplyPlacesAddedNodes(t *testing.T) {
	m := residual(t, 8)
	gate := onnxgraph.NewFloat32s("zero", []int64{2}, []float32{0, 0})
	got := apply(t, m, &onnxgraph.Patch{
		// Given in the wrong order: the second feeds the first.
		Add: []*onnxgraph.Node{
			onnxgraph.NewNode("Mul", "gated", []string{"neg", "zero"}, []string{"g"}),
			onnxgraph.NewNode("Neg", "neg", []string{"a"}, []string{"neg"}),
			onnxgraph.NewNode("Identity", "extra", []string{"y"}, []string{"nobody reads this"}),
		},
		Init:   []*onnxgraph.Tensor{gate},
		Rewire: []onnxgraph.Rewire{{Node: byName(t, m, "add"), Input: 0, To: "g"}},
	})
	if o := order(got); o != "m1 dead m2 neg gated add relu extra" {
		t.Errorf("nodes %s", o)
	}
	if w := tensorNames(got); w != "w1 w2 unused zero" {
		t.Errorf("initializers %s", w)
	}
	for i, n := range got.Graph.Nodes {
		if n.Index != i {
			t.Errorf("%v is node %d", n, i)
		}
	}
}

// The value of a graph output gets another producer and keeps its name.
func TestApplyKeepsGraphOutputs(t *testing.T) {
	m := residual(t, 8)
	relu := byName(t, m, "relu")
	got := apply(t, m, &onnxgraph.Patch{
		Remove: []*onnxgraph.Node{relu},
		Add:    []*onnxgraph.Node{onnxgraph.NewNode("Sigmoid", "sigmoid", []string{"c"}, []string{"y"})},
	})
	if o := order(got); o != "m1 dead m2 add sigmoid" {
		t.Errorf("nodes %s", o)
	}
	got = apply(t, m, detour(relu))
	if o := order(got); o != "m1 dead m2 add relu detour y" || got.Graph.Outputs[0].Name != "y" {
		t.Errorf("nodes %s", o)
	}
}

// What only a subgraph reads is read.
func TestApplyKeepsCaptures(t *testing.T) {
	s := plain()
	branch(node("Identity", "t", names("a"), names("yt")))(s)
	s.nodes = append([]pb{node("Mul", "m1", names("x", "w"), names("a")), node("Neg", "n", names("a"), names("b"))}, s.nodes...)
	s.nodes = append(s.nodes, node("Add", "add", names("b", "y"), names("z")))
	s.inits = append(s.inits, floats("w", 8))
	s.outputs = []pb{value("z", 1, 3, 8, 8)}
	m, err := onnxgraph.Parse("net.onnx", s.bytes())
	must(t, err)
	must(t, m.Validate())
	got := apply(t, m, &onnxgraph.Patch{Rewire: []onnxgraph.Rewire{{Node: byName(t, m, "add"), Input: 0, To: "x"}}})
	if o := order(got); o != "m1 if add" {
		t.Errorf("nodes %s, want m1 kept for the branch", o)
	}
	if w := tensorNames(got); w != "cond w" {
		t.Errorf("initializers %s", w)
	}
	if _, err := m.Apply(&onnxgraph.Patch{Rule: "greedy", Remove: []*onnxgraph.Node{byName(t, m, "m1")}}); err == nil {
		t.Error("a node was removed whose value a branch reads")
	}
}

// An edited node keeps every byte that the edit does not concern: unknown fields
// and their order, attributes, doc strings, overlong encodings.
func TestApplyPreservesUnknownFields(t *testing.T) {
	relu := pb{}.str(600, "before").str(1, "x").int(601, 7).str(3, "relu").str(4, "Relu").
		str(5, string(pb{}.str(1, "odd").int(602, 9).int(3, 1).int(20, 2))).
		float(603, 1.5).str(2, "y").str(6, "doc")
	relu = append(relu, 0x80|0x30, 0x80|0x26, 0x00, 0x01) // field 614, varint, its tag a byte too long
	s := plain()
	s.nodes = []pb{relu}
	s.fileTail, s.graphTail = pb{}.str(604, "model"), pb{}.str(605, "graph").str(10, "doc of the graph")
	m, err := onnxgraph.Parse("net.onnx", s.bytes())
	must(t, err)
	edited, err := m.Apply(detour(m.Graph.Nodes[0]))
	must(t, err)

	rest := bytes.Replace(relu, pb{}.str(2, "y"), pb{}.str(2, "y/was"), 1)
	want := plain()
	want.nodes, want.fileTail = []pb{rest}, s.fileTail
	want.graphTail = append(s.graphTail, pb{}.msg(1, node("Identity", "detour y", names("y/was"), names("y")))...)
	if got := written(t, edited); !bytes.Equal(got, want.bytes()) {
		t.Errorf("got  %q\nwant %q", got, want.bytes())
	}
	if _, _, n := protowire.ConsumeField(relu); n < 0 {
		t.Fatal("the test's own node is broken")
	}
}

func TestApplySetsMetadata(t *testing.T) {
	s := plain()
	s.fileTail = pb{}.msg(14, pb{}.str(1, "a").str(2, "1")).str(604, "unknown").msg(14, pb{}.str(1, "b").str(2, "2"))
	m, err := onnxgraph.Parse("net.onnx", s.bytes())
	must(t, err)
	got := apply(t, m, &onnxgraph.Patch{Metadata: []onnxgraph.Property{{Key: "b", Value: "new"}, {Key: "c", Value: "3"}}})
	want := []onnxgraph.Property{{Key: "a", Value: "1"}, {Key: "b", Value: "new"}, {Key: "c", Value: "3"}}
	if !slices.Equal(got.Metadata, want) {
		t.Errorf("metadata %v, want %v", got.Metadata, want)
	}
	s.fileTail = pb{}.msg(14, pb{}.str(1, "a").str(2, "1")).str(604, "unknown").msg(14, pb{}.str(1, "b").str(2, "new")).msg(14, pb{}.str(1, "c").str(2, "3"))
	if !bytes.Equal(written(t, got), s.bytes()) {
		t.Error("setting metadata changed more than it says")
	}
	if same, err := m.Apply(&onnxgraph.Patch{Rule: "idle"}); err != nil || same != m || same.Edited() {
		t.Errorf("an empty patch: %v", err)
	}
}

// Every kind of attribute that NewNode takes is written.
func TestNewNodeWritesAttributes(t *testing.T) {
	attrs := []*onnxgraph.Attribute{onnxgraph.IntAttr("int", -5), onnxgraph.IntsAttr("ints", 1, -2), onnxgraph.FloatAttr("float", 0.5),
		onnxgraph.StringAttr("string", "s"), {Name: "floats", Type: onnxgraph.AttrFloats, Floats: []float32{1, 2}},
		{Name: "strings", Type: onnxgraph.AttrStrings, Strings: [][]byte{[]byte("a"), []byte("b")}},
		onnxgraph.TensorAttr("tensor", onnxgraph.NewInt64s("t", []int64{2}, []int64{7, -8}))}
	m := residual(t, 8)
	got := apply(t, m, &onnxgraph.Patch{Add: []*onnxgraph.Node{onnxgraph.NewNode("Relu", "new", []string{"y"}, []string{"z"}, attrs...)}})
	n := byName(t, got, "new")
	if n.Int("int", 0) != -5 || !slices.Equal(n.Ints("ints"), []int64{1, -2}) || n.Float("float", 0) != 0.5 || n.Str("string", "") != "s" ||
		!slices.Equal(n.Attr("floats").Floats, []float32{1, 2}) || len(n.Attr("strings").Strings) != 2 {
		t.Errorf("attributes differ: %s", outline(got.Graph))
	}
	if v, err := n.Attr("tensor").Tensor.Int64s(); err != nil || !slices.Equal(v, []int64{7, -8}) {
		t.Errorf("tensor %v, %v", v, err)
	}
}

// Patches that cannot be right are refused with the name of who asked.
func TestApplyRefuses(t *testing.T) {
	m := residual(t, 8)
	at := func(name string) *onnxgraph.Node { return byName(t, m, name) }
	other := byName(t, residual(t, 8), "add")
	cases := []struct {
		name, want string
		patch      onnxgraph.Patch
	}{
		{"a value that nobody makes", `(Add "add") would read "ghost" before it is made`,
			onnxgraph.Patch{Rewire: []onnxgraph.Rewire{{Node: at("add"), Input: 1, To: "ghost"}}}},
		{"a value made later", `graph.node[0] (Mul "m1") would read "c" before it is made`,
			onnxgraph.Patch{Rewire: []onnxgraph.Rewire{{Node: at("m1"), Input: 0, To: "c"}}}},
		{"a value made twice", `would make "a" a second time`,
			onnxgraph.Patch{Rename: []onnxgraph.Rename{{Node: at("dead"), To: "a"}}}},
		{"an output lost", `graph output "y" would be lost`, onnxgraph.Patch{Rename: []onnxgraph.Rename{{Node: at("relu"), To: "z"}}}},
		{"a removed node that is read", `would read "b" before it is made`, onnxgraph.Patch{Remove: []*onnxgraph.Node{at("m2")}}},
		{"no such output", `no output 1 to rename`, onnxgraph.Patch{Rename: []onnxgraph.Rename{{Node: at("relu"), Output: 1, To: "z"}}}},
		{"no such input", `no input 5 to rewire`, onnxgraph.Patch{Rewire: []onnxgraph.Rewire{{Node: at("relu"), Input: 5, To: "x"}}}},
		{"a node of another model", `is not a node of this model`, onnxgraph.Patch{Rewire: []onnxgraph.Rewire{{Node: other, Input: 0, To: "x"}}}},
		{"no node", `is not a node of this model`, onnxgraph.Patch{Remove: []*onnxgraph.Node{nil}}},
		{"a node that is not encoded", `was not made by NewNode`, onnxgraph.Patch{Add: []*onnxgraph.Node{{OpType: "Relu", Index: -1}}}},
		{"a subgraph", `not made by NewNode from attributes in memory`, onnxgraph.Patch{Add: []*onnxgraph.Node{
			onnxgraph.NewNode("If", "if", []string{"x"}, []string{"new"}, &onnxgraph.Attribute{Name: "then_branch", Type: onnxgraph.AttrGraph})}}},
		{"a node's name that is taken", `the added node "dead" has the name of another node`,
			onnxgraph.Patch{Add: []*onnxgraph.Node{onnxgraph.NewNode("Relu", "dead", []string{"x"}, []string{"new"})}}},
		{"a name that is taken", `the added initializer "w1" has the name of another value`,
			onnxgraph.Patch{Init: []*onnxgraph.Tensor{onnxgraph.NewFloat32s("w1", nil, []float32{1})}}},
		{"an initializer named like a node's output", `would make "a" a second time`,
			onnxgraph.Patch{Init: []*onnxgraph.Tensor{onnxgraph.NewFloat32s("a", nil, []float32{1})}}},
		{"a cycle of added nodes", `before it is made`, onnxgraph.Patch{Add: []*onnxgraph.Node{
			onnxgraph.NewNode("Relu", "p", []string{"q"}, []string{"p"}), onnxgraph.NewNode("Relu", "q", []string{"p"}, []string{"q"})}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.patch.Rule = "prune-branch"
			_, err := m.Apply(&c.patch)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "net.onnx: prune-branch: ") {
				t.Errorf("got  %v\nwant net.onnx: prune-branch: ... %s", err, c.want)
			}
		})
	}
	stale := byName(t, apply(t, m, detour(at("m1"))), "relu")
	if _, err := m.Apply(&onnxgraph.Patch{Rule: "late", Remove: []*onnxgraph.Node{stale}}); err == nil {
		t.Error("a node of a later state was taken")
	}
}

// An edit of real networks computes the same: an Identity on the way is the
// identity, and so is one after another.
func TestEditedNetworksCompute(t *testing.T) {
	path := corpus.Need(t, "models", "cifar10", "ace_resnet20_cifar10_pre.onnx")
	m, err := onnxgraph.Open(path)
	must(t, err)
	input := m.Graph.RealInputs()[0]
	var dims []int64
	for _, d := range input.Type.Shape {
		dims = append(dims, d.N)
	}
	probe := map[string]oracle.Tensor{input.Name: oracle.Probe(1, dims)}
	want := oracle.Run(t, path, probe)
	for _, at := range []int{0, len(m.Graph.Nodes) / 2, len(m.Graph.Nodes) - 1} {
		if m, err = m.Apply(detour(m.Graph.Nodes[at])); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "out.onnx")
	must(t, m.Save(context.Background(), out))
	oracle.Check(t, out)
	for name, got := range oracle.Run(t, out, probe) {
		if abs, _ := oracle.MaxDiff(got, want[name]); abs != 0 {
			t.Errorf("%s differs by %g", name, abs)
		}
	}
	in, _ := os.ReadFile(path)
	if edited, _ := os.ReadFile(out); len(edited)-len(in) > 1000 {
		t.Errorf("three Identities cost %d bytes", len(edited)-len(in))
	}
}
