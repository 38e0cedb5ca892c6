package cellmap

import (
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
)

// compact holds the same in the notation of the spec, section 1.6.
var compact = map[string][2]string{
	"ResBlock":     {"N<0 S<1 | N<0 c3<2 | N<0 c3<3 | S<2 S<4 cat[5]", "N<0 S<1 | N<0 c3<2 | N<0 c3<3 | S<2 S<4 cat[5]"},
	"NAT_ResBlock": {"N<0 S<1 | S<0 c3<2 | S<0 c3<3 | S<2 S<4 cat[5]", "N<0 S<1 | S<0 c3<2 | S<0 c3<3 | S<2 S<4 cat[5]"},
	"NAT_VGG":      {"S<0 S<1 | N<0 c3<2 | N<0 c3<3 | S<0 S<4 cat[5]", "S<0 S<1 | N<0 c3<2 | N<0 c3<3 | S<0 S<4 cat[5]"},
	"R1":           {"d5<1 d5<1 | d5<1 d5<2 | s3<0 s3<3 | S<1 M3<0 cat[2, 3, 4, 5]", "s5<0 M3<0 | S<0 s3<0 | c3<0 M3<2 | A3<2 c3<3 cat[2, 3, 4, 5]"},
	"Mobilenetv2":  {"N<0 c1<1 | N<0 s3<2 | N<0 c1<3 | S<1 S<4 cat[5]", "N<0 c1<1 | N<0 s3<2 | N<0 c1<3 | N<0 S<4 cat[5]"},
	"NAONet":       {"c3<0 A5<1 | c3<1 c13<2 | c1<0 c3<1 | c13<0 c3<4 | c3<0 S<1 cat[3, 5, 6]", "c3<0 A2<1 | c1<0 A3<0 | M2<0 c17<1 | A3<0 c1<2 | c3<0 M3<1 cat[3, 4, 5, 6]"},
	"NAT_ENAS":     {"s3<1 S<1 | S<0 s5<1 | N<0 s3<1 | s3<0 A3<1 | A3<0 s5<1 cat[2, 3, 4, 5, 6]", "s5<0 A3<1 | s3<1 A3<1 | A3<1 s3<1 | N<1 s5<4 | s5<0 s3<5 cat[2, 3, 6]"},
}

// genotype returns one of the published genotypes.
func genotype(t testing.TB, name string) Genotype {
	t.Helper()
	g, err := ParseGenotype(corpus.Genotypes[name])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return g
}

func TestGenotypeTextIsPython(t *testing.T) {
	for name, text := range corpus.Genotypes {
		g := genotype(t, name)
		if got := g.String(); got != text {
			t.Errorf("%s prints as\n%s\nwant\n%s", name, got, text)
		}
		if got := [2]string{g.Normal.String(), g.Reduce.String()}; got != compact[name] {
			t.Errorf("%s: compact forms %q, want %q", name, got, compact[name])
		}
	}
}

// corpusGenotypes reads all published genotypes.
func corpusGenotypes(t testing.TB) map[string]Genotype {
	t.Helper()
	form := func(tuples []corpus.Tuple, concat []int) Form {
		f := Form{Concat: concat}
		for _, e := range tuples {
			f.Edges = append(f.Edges, FormEdge{Op: Op(e.Op), From: e.From, To: e.To})
		}
		return f
	}
	out := map[string]Genotype{}
	for name, g := range corpus.AllGenotypes(t) {
		out[name] = Genotype{form(g.Normal, g.NormalConcat), form(g.Reduce, g.ReduceConcat)}
	}
	return out
}

func TestAllPublishedGenotypesRoundTrip(t *testing.T) {
	all := corpusGenotypes(t)
	if len(all) != 28 {
		t.Errorf("%d genotypes, want 28", len(all))
	}
	for name, want := range all {
		if err := want.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, err := ParseGenotype(want.String())
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: read back as %v (%v)", name, got, err)
		}
		if text, ok := corpus.Genotypes[name]; ok && want.String() != text {
			t.Errorf("%s prints as\n%s\nwant\n%s", name, want, text)
		}
	}
}

func TestParseGenotypeTakesWhatPythonTakes(t *testing.T) {
	want := Genotype{
		Normal: Form{Edges: []FormEdge{{Op: "sep_conv_3x3", From: 0, To: 2}, {Op: Skip, From: 1, To: 2}, {Op: "conv_1x7_7x1", From: 2, To: 3}, {Op: Null, From: 0, To: 3}}, Concat: []int{2, 3}},
		Reduce: Form{Edges: []FormEdge{{Op: "max_pool_2x2", From: 0, To: 2}, {Op: Null, From: 0, To: 2}}, Concat: []int{2}},
	}
	for _, text := range []string{
		"Genotype(normal=[('sep_conv_3x3', 0, 2), ('skip_connect', 1, 2), ('conv_1x7_7x1', 2, 3), ('null', 0, 3)], normal_concat=range(2, 4), reduce=[('max_pool_2x2', 0, 2), ('null', 0, 2)], reduce_concat=[2])",
		"MINE = Genotype(\r\n\treduce_concat = range( 2,3 ),\n reduce=[(\"max_pool_2x2\",0,2,),('null',0,2),],\n\n normal_concat=[2,3,],\n normal=[('sep_conv_3x3',0,2),('skip_connect',1,2),\n('conv_1x7_7x1',2,3),('null',0,3)],\n)\n",
	} {
		if got, err := ParseGenotype(text); err != nil || !got.Equal(want) {
			t.Errorf("%s\nread as %v (%v)", text, got, err)
		}
	}
}

func TestParseGenotypeSaysWhatIsWrong(t *testing.T) {
	whole := "Genotype(normal=[('conv_3x3', 0, 2), ('null', 1, 2)], normal_concat=[2], reduce=[('conv_3x3', 0, 2), ('null', 1, 2)], reduce_concat=[2])"
	for _, c := range []struct{ old, new, want string }{
		{whole, "", `line 1, column 1: want a name, found the end`},
		{"Genotype(", "Genes(", `line 1, column 1: want Genotype(, found "Genes"`},
		{"('null'", "(null", `line 1, column 39: want an operation in quotes, found "null"`},
		{"'null'", "'null", `line 1, column 39: want null, skip_connect or a kind with its kernel, such as conv_3x3, found "'null, 1, 2)]`},
		{"conv_3x3", "conv_3", `line 1, column 19: want null, skip_connect or a kind with its kernel, such as conv_3x3, found "'conv_3'"`},
		{" 0, 2)", " 0)", `line 1, column 32: want ",", found ")"`},
		{" 0, 2)", " -1, 2)", `line 1, column 31: want a node, from 0 to 4096, found "-"`},
		{" 0, 2)", " 99999999999999999999, 2)", `column 31: want a node, from 0 to 4096, found "99999999999999999999"`},
		{"normal_concat=[2]", "normal_concat=range(2, 999999999)", `column 78: want a node, from 0 to 4096, found "999999999"`},
		{"normal_concat", "\n\u00e9normal", "line 2, column 1: want a name, found \"\u00e9\""},
		{"reduce=", "normal=", `column 74: want each field once, found "normal"`},
		{"reduce=", "reduced=", `column 74: want normal, normal_concat, reduce or reduce_concat, found "reduced"`},
		{", reduce_concat=[2]", "", `want all of normal, normal_concat, reduce and reduce_concat, found the end`},
		{"reduce_concat=[2])", "reduce_concat=[2]", `want ")", found the end`},
		{"reduce_concat=[2])", "reduce_concat=[2]) x", `want the end, found "x"`},
		{"reduce_concat=[2]", "reduce_concat=[3]", `reduce: concat names node 3: want an intermediate node, from 2 to 2`},
		{"('null', 1, 2)]", "('null', 2, 2)]", `normal: edge 1 comes from node 2: want a node from 0 to 1`},
	} {
		_, err := ParseGenotype(strings.Replace(whole, c.old, c.new, 1))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("with %q for %q: error %v, want %q", c.new, c.old, err, c.want)
		}
	}
}

func TestFormValidate(t *testing.T) {
	edge := func(op Op, from, to int) FormEdge { return FormEdge{Op: op, From: from, To: to} }
	for _, c := range []struct {
		name, want string // want is empty for a valid form
		form       Form
	}{
		{"good", "", Form{[]FormEdge{edge("dw_conv_3x3", 1, 2), edge(Null, 0, 2)}, []int{2}}},
		{"none", "0 edges: want two", Form{Concat: []int{2}}},
		{"three", "3 edges: want two", Form{[]FormEdge{edge(Skip, 1, 2), edge(Skip, 0, 2), edge(Skip, 2, 3)}, []int{2}}},
		{"order", "edge 0 leads to node 3: want node 2", Form{[]FormEdge{edge(Skip, 1, 3), edge(Skip, 0, 3), edge(Skip, 1, 2), edge(Skip, 0, 2)}, []int{2}}},
		{"self", "edge 1 comes from node 2: want a node from 0 to 1", Form{[]FormEdge{edge(Skip, 1, 2), edge(Skip, 2, 2)}, []int{2}}},
		{"negative", "edge 1 comes from node -1", Form{[]FormEdge{edge(Skip, 1, 2), edge(Skip, -1, 2)}, []int{2}}},
		{"no output", "concat is empty", Form{[]FormEdge{edge(Skip, 1, 2), edge(Skip, 0, 2)}, nil}},
		{"input as output", "concat names node 1", Form{[]FormEdge{edge(Skip, 1, 2), edge(Skip, 0, 2)}, []int{1}}},
		{"twice", "concat names node 2 twice", Form{[]FormEdge{edge(Skip, 1, 2), edge(Skip, 0, 2)}, []int{2, 2}}},
	} {
		checkError(t, c.name, c.form.Validate(), c.want)
	}
	for op, ok := range map[Op]bool{
		Null: true, Skip: true, "conv_1x1": true, "conv_11x11": true, "conv_1x7": true, "conv_1x3_3x1": true, "conv_1x7_7x1": true,
		"max_pool_2x2": true, "sep_conv_5x5": true, "dil_conv_3x3": true, "dw_conv_7x7": true,
		"": false, "same": false, "conv": false, "conv_": false, "conv_0x3": false, "conv_03x3": false, "conv_3x": false, "conv_3x3x3": false,
		"conv_-3x3": false, "conv_99999999999x3": false, "conv_1x3_1x3": false, "conv_1x3_7x1": false, "max_pool_1x3_3x1": false, "gru_3x3": false, "skip": false,
	} {
		want := `operation "`
		if ok {
			want = ""
		}
		checkError(t, string(op), Form{[]FormEdge{edge(op, 1, 2), edge(Null, 0, 2)}, []int{2}}.Validate(), want)
	}
}

func checkError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %v, want %q", name, err, want)
	}
}

func TestFormEqual(t *testing.T) {
	f := genotype(t, "ResBlock").Normal
	swapped := Form{append([]FormEdge(nil), f.Edges...), f.Concat}
	swapped.Edges[2], swapped.Edges[3] = swapped.Edges[3], swapped.Edges[2]
	if !f.Equal(swapped) || !f.Equal(f) {
		t.Error("the order of a node's edges counts")
	}
	if f.Equal(genotype(t, "NAT_ResBlock").Normal) {
		t.Error("other operations are equal")
	}
	other := Form{append([]FormEdge(nil), f.Edges...), f.Concat}
	other.Edges[1].From = 0
	if f.Equal(other) || f.Equal(Form{f.Edges, []int{4}}) || f.Equal(Form{f.Edges[:6], f.Concat}) {
		t.Error("other topologies are equal")
	}
}

func TestLiftedNamesCompareWithPublished(t *testing.T) {
	lifted := Form{[]FormEdge{
		{Op: Null, From: 0, To: 2}, {Op: "conv_1x1", From: 1, To: 2}, {Op: Null, From: 0, To: 3}, {Op: "dw_conv_3x3", From: 2, To: 3, Fixed: true},
		{Op: "conv_1x1", From: 3, To: 4}, {Op: Null, From: 0, To: 4}, {Op: Skip, From: 1, To: 5}, {Op: Skip, From: 4, To: 5}}, []int{5}}
	if !lifted.Published().Equal(genotype(t, "Mobilenetv2").Normal) {
		t.Errorf("%v is not the published %v", lifted.Published(), genotype(t, "Mobilenetv2").Normal)
	}
	if lifted.Edges[3].Op != "dw_conv_3x3" {
		t.Error("Published changed the form itself")
	}
	if got, want := lifted.String(), "N<0 c1<1 | N<0 w3<2! | c1<3 N<0 | S<1 S<4 cat[5]"; got != want {
		t.Errorf("compact form %q, want %q", got, want)
	}
}

func FuzzParseGenotype(f *testing.F) {
	for _, text := range corpus.Genotypes {
		f.Add(text)
	}
	f.Add("DARTS = Genotype(normal=[(\"conv_3x3\",0,2,),('null',1,2)],normal_concat=range(2,3),reduce=[],reduce_concat=[])")
	f.Add("Genotype(normal=[('")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGenotype(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "genotype: ") {
				t.Errorf("error %q does not say where", err)
			}
			return
		}
		again, err := ParseGenotype(g.String())
		if err != nil || again.String() != g.String() {
			t.Errorf("%q printed as %q, which reads as %q (%v)", text, g, again, err)
		}
	})
}
