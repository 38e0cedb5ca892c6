package transformer

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/oracle"
	"github.com/natonnx/natonnx/onnxgraph"
)

// ONNX Runtime computes from the file what the Go code computes, for one node
// and for many.
func TestPolicyFileInONNXRuntime(t *testing.T) {
	for _, rules := range []Rules{NAT, NATPlusPlus} {
		t.Run(rules.Name, func(t *testing.T) { compareInONNXRuntime(t, rules) })
	}
}

func compareInONNXRuntime(t *testing.T, rules Rules) {
	g := randomGCNOf(t, rules, 11, 8, 12)
	path := filepath.Join(t.TempDir(), "policy.onnx")
	if err := g.Save(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	oracle.Check(t, path)
	rng := rand.New(rand.NewPCG(11, 1))
	for _, nodes := range []int{1, 2, 4, 5, 17} {
		form := cellmap.Form{}
		for i := range 2 * nodes {
			form.Edges = append(form.Edges, cellmap.FormEdge{Op: vocabulary[rng.IntN(5)], From: rng.IntN(i/2 + 2), To: i/2 + 2})
		}
		ops, from, err := Encode(form)
		if err != nil {
			t.Fatal(err)
		}
		in := map[string]oracle.Tensor{"ops": ints(ops), "from": ints(from)}
		got := oracle.Run(t, path, in)["logits"]
		want := oracle.Tensor{Shape: []int64{int64(2 * nodes), int64(rules.Learnt())}}
		for _, row := range logitsOf(t, g, form) {
			for _, x := range row[:rules.Learnt()] {
				want.Floats = append(want.Floats, float32(x))
			}
		}
		if abs, rel := oracle.MaxDiff(got, want); min(abs, rel) > 1e-5 {
			t.Errorf("%d nodes: logits differ by %g (relative %g)", nodes, abs, rel)
		}
	}
}

func ints(x []int) oracle.Tensor {
	t := oracle.Tensor{Shape: []int64{int64(len(x))}}
	for _, v := range x {
		t.Ints = append(t.Ints, int64(v))
	}
	return t
}

func TestPolicyFileRoundTrip(t *testing.T) {
	g, err := randomGCN(t, 12, 8, 12).Rounded(Card{
		Name: "mine", Kind: "gcn", Rules: "nat", Training: "none: drawn\nat random", Command: "true", Seed: 1<<64 - 1,
		Scores: []Score{{Name: "accuracy", On: "nothing", Value: 12.5, Unit: "%"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "policy.onnx")
	if err := g.Save(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	back, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.Card(), g.Card()) {
		t.Errorf("card %+v came back as %+v", g.Card(), back.Card())
	}
	if !reflect.DeepEqual(back.Params(), g.Params()) {
		t.Error("weights came back changed")
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.Encode(); err != nil || !bytes.Equal(first, again) {
		t.Errorf("writing what was read gives other bytes (%v)", err)
	}
}

func TestBadPolicyFiles(t *testing.T) {
	good, err := randomGCN(t, 13, 4, 6).Encode()
	if err != nil {
		t.Fatal(err)
	}
	// replace exchanges bytes for as many others, so that the file stays readable.
	replace := func(old, with string) []byte {
		if len(old) != len(with) || !bytes.Contains(good, []byte(old)) {
			t.Fatalf("cannot replace %q by %q", old, with)
		}
		return bytes.ReplaceAll(good, []byte(old), []byte(with))
	}
	nan, header := bytes.Clone(good), []byte("\x42\x08conv1.in\x4a\x60") // name, then 4x6 floats of raw_data
	copy(nan[bytes.Index(nan, header)+len(header)+4:], []byte{0, 0, 0xc0, 0x7f})
	other, err := onnxgraph.NewBuilder("other", 17).Model("other.onnx")
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := other.WriteTo(&plain); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data []byte
		want string
	}{
		"empty":        {nil, "is empty"},
		"no policy":    {plain.Bytes(), "not a policy of natonnx"},
		"vocabulary":   {replace("null,skip_connect,conv_1x1", "null,skip_connect,conv_9x9"), `natonnx.policy.vocabulary is "null,skip_connect,conv_9x9`},
		"version":      {replace("natonnx.policy.format\x12\x011", "natonnx.policy.format\x12\x019"), `natonnx.policy.format is "9", want "1"`},
		"rules":        {replace("natonnx.policy.rules\x12\x03nat", "natonnx.policy.rules\x12\x03NAT"), "natonnx.policy.rules"},
		"seed":         {replace("natonnx.policy.seed\x12\x0213", "natonnx.policy.seed\x12\x02-1"), "want a number"},
		"scores":       {replace("natonnx.policy.scores\x12\x04null", "natonnx.policy.scores\x12\x04nuul"), "natonnx.policy.scores"},
		"name":         {replace("edge.own", "edge.owm"), `no weight "edge.own"`},
		"shape":        {replace("\x08\x04\x08\x06\x10\x01\x42\x0aconv1.self", "\x08\x06\x08\x04\x10\x01\x42\x0aconv1.self"), `conv1.self`},
		"other graph":  {replace("MatMul", "MatMux"), "graph.node"},
		"not a number": {nan, `"conv1.in" holds NaN at row 0, column 1`},
	}
	for name, x := range tests {
		_, err := Parse("bad.onnx", x.data)
		var fe *onnxgraph.FormatError
		if !errors.As(err, &fe) || !strings.HasPrefix(err.Error(), "bad.onnx: ") || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want a format error of bad.onnx with %q", name, err, x.want)
		}
	}
	for n := range good {
		if _, err := Parse("cut.onnx", good[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a policy", n, len(good))
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent.onnx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	good, err := randomGCN(f, 14, 2, 3).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Parse("fuzz.onnx", data)
		if err != nil {
			return
		}
		for _, row := range logitsOf(t, g, mixedForm) {
			for _, x := range row {
				if x != x {
					t.Fatal("a policy that was accepted gives NaN")
				}
			}
		}
	})
}
