package draw

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/internal/corpus"
)

var update = flag.Bool("update", false, "write the golden files anew")

// shapes are forms that real networks have, beside the published ones.
func shapes(t testing.TB) map[string]cellmap.Form {
	all := map[string]cellmap.Form{
		"VGG stage": chain("conv_3x3", "conv_3x3", "conv_3x3", "conv_3x3", "max_pool_2x2"),
		"one node":  chain("conv_3x3"),
		"dead":      {Edges: []cellmap.FormEdge{{Op: cellmap.Null, From: 0, To: 2}, {Op: cellmap.Null, From: 0, To: 2}}, Concat: []int{2}},
		"parallel":  {Edges: []cellmap.FormEdge{{Op: "dil_conv_5x5", From: 1, To: 2}, {Op: "conv_1x3_3x1", From: 1, To: 2}, {Op: cellmap.Skip, From: 2, To: 3}, {Op: cellmap.Skip, From: 2, To: 3}}, Concat: []int{2, 3}},
		"unused":    {Edges: []cellmap.FormEdge{{Op: "dw_conv_3x3", From: 1, To: 2}, {Op: cellmap.Null, From: 0, To: 2}, {Op: cellmap.Skip, From: 1, To: 3}, {Op: cellmap.Null, From: 0, To: 3}}, Concat: []int{3}},
	}
	random := rand.New(rand.NewPCG(7, 7))
	for i := range 24 {
		all[fmt.Sprintf("random %d", i)] = randomForm(random, 1+i%8)
	}
	all["largest"] = randomForm(random, maxDrawnNodes)
	for name := range corpus.Genotypes {
		g := genotype(t, name)
		all[name+" normal"], all[name+" reduce"] = g.Normal, g.Reduce
	}
	return all
}

// genotype returns one of the published genotypes.
func genotype(t testing.TB, name string) cellmap.Genotype {
	t.Helper()
	g, err := cellmap.ParseGenotype(corpus.Genotypes[name])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return g
}

// chain is a plain stack of operations in two-input form.
func chain(ops ...cellmap.Op) cellmap.Form {
	f := cellmap.Form{Concat: []int{len(ops) + 1}}
	for i, op := range ops {
		f.Edges = append(f.Edges, cellmap.FormEdge{Op: cellmap.Null, From: 0, To: i + 2}, cellmap.FormEdge{Op: op, From: i + 1, To: i + 2})
	}
	return f
}

func randomForm(random *rand.Rand, nodes int) cellmap.Form {
	ops := []cellmap.Op{cellmap.Null, cellmap.Skip, "conv_3x3", "dw_conv_3x3", "conv_1x3_3x1", "max_pool_2x2"}
	var f cellmap.Form
	for to := 2; to < nodes+2; to++ {
		for range 2 {
			f.Edges = append(f.Edges, cellmap.FormEdge{Op: ops[random.IntN(len(ops))], From: random.IntN(to), To: to})
		}
		if to == nodes+1 || random.IntN(3) == 0 {
			f.Concat = append(f.Concat, to)
		}
	}
	return f
}

func TestLayoutKeepsThingsApart(t *testing.T) {
	for name, f := range shapes(t) {
		for _, vertical := range []bool{false, true} {
			checkLayout(t, fmt.Sprintf("%s, down %v", name, vertical), f, charts([]view{newView(f)}, vertical)[0])
		}
	}
}

func TestLayoutOfAllPublishedGenotypes(t *testing.T) {
	for name, g := range corpus.AllGenotypes(t) {
		for i, tuples := range [][]corpus.Tuple{g.Normal, g.Reduce} {
			f := cellmap.Form{Concat: [][]int{g.NormalConcat, g.ReduceConcat}[i]}
			for _, e := range tuples {
				f.Edges = append(f.Edges, cellmap.FormEdge{Op: cellmap.Op(e.Op), From: e.From, To: e.To})
			}
			for _, vertical := range []bool{false, true} {
				checkLayout(t, fmt.Sprintf("%s, down %v", name, vertical), f, charts([]view{newView(f)}, vertical)[0])
			}
		}
	}
}

// checkLayout asserts on the drawn geometry that no label or node lies on
// another, none leaves the picture, no edge runs through a label or a node that
// is not its own, and every edge runs from its source to its target.
func checkLayout(t *testing.T, name string, f cellmap.Form, c chart) {
	t.Helper()
	labels := c.wires[:len(f.Edges)]
	for i, w := range labels {
		if r := w.label; r.w < textWidth(opLabel(f.Edges[i].Op), labelText) || r.x < 0 || r.y < 0 || r.x+r.w > c.w || r.y+r.h > c.h {
			t.Errorf("%s: label %d at %v in a picture of %v x %v", name, i, r, c.w, c.h)
		}
		for j, v := range labels[:i] {
			if a, b := w.label, v.label; a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
				t.Errorf("%s: labels %d and %d overlap: %v, %v", name, i, j, a, b)
			}
		}
		for v, at := range c.nodes {
			if outside(w.label, at) < nodeRadius {
				t.Errorf("%s: label %d at %v lies on node %d at %v", name, i, w.label, v, at)
			}
		}
	}
	for v, at := range c.nodes {
		if at.x < nodeRadius || at.y < nodeRadius || at.x > c.w-nodeRadius || at.y > c.h-nodeRadius {
			t.Errorf("%s: node %d at %v in a picture of %v x %v", name, v, at, c.w, c.h)
		}
		for u, other := range c.nodes[:v] {
			if math.Hypot(at.x-other.x, at.y-other.y) < 2*nodeRadius {
				t.Errorf("%s: nodes %d and %d overlap", name, u, v)
			}
		}
	}
	for i, w := range c.wires {
		from, to := ends(f, i)
		checkEnd(t, name, i, w.start, c.nodes[from])
		checkEnd(t, name, i, w.tip, c.nodes[to])
		for _, at := range w.samples() {
			for j, other := range labels {
				if j != i && outside(other.label, at) <= 0 {
					t.Fatalf("%s: edge %d runs through label %d at %v", name, i, j, at)
				}
			}
			for v, node := range c.nodes {
				if d := math.Hypot(at.x-node.x, at.y-node.y); d < nodeRadius-0.01 {
					t.Fatalf("%s: edge %d runs through node %d at %v", name, i, v, at)
				}
			}
		}
	}
}

func ends(f cellmap.Form, i int) (from, to int) {
	if i < len(f.Edges) {
		return f.Edges[i].From, f.Edges[i].To
	}
	return f.Concat[i-len(f.Edges)], len(f.Edges)/2 + 2
}

func checkEnd(t *testing.T, name string, i int, at, node point) {
	t.Helper()
	if d := math.Hypot(at.x-node.x, at.y-node.y); math.Abs(d-nodeRadius) > 0.01 {
		t.Errorf("%s: edge %d ends %v from the centre of its node", name, i, d)
	}
}

// outside is the distance of a point from a rectangle, 0 inside.
func outside(r rect, p point) float64 {
	return math.Hypot(max(r.x-p.x, 0, p.x-r.x-r.w), max(r.y-p.y, 0, p.y-r.y-r.h))
}

// samples are points along the curves of a wire.
func (w wire) samples() (points []point) {
	here := w.start
	for _, c := range w.curves {
		for i := range 41 {
			t := float64(i) / 40
			u := 1 - t
			points = append(points, point{
				u*u*u*here.x + 3*u*u*t*c.a.x + 3*u*t*t*c.b.x + t*t*t*c.end.x,
				u*u*u*here.y + 3*u*u*t*c.a.y + 3*u*t*t*c.b.y + t*t*t*c.end.y,
			})
		}
		here = c.end
	}
	return points
}

// The hand-crafted cells of Figure 3 can be drawn without a crossing.
func TestHandCraftedCellsHaveNoCrossings(t *testing.T) {
	forms := map[string]cellmap.Form{"VGG stage": shapes(t)["VGG stage"]}
	for _, name := range []string{"ResBlock", "NAT_VGG", "Mobilenetv2"} {
		g := genotype(t, name)
		forms[name], forms[name+" reduce"] = g.Normal, g.Reduce
	}
	for name, f := range forms {
		n := len(f.Edges)/2 + 3
		all := links(newView(f))
		p := planner{links: all}
		p.fill(n, layers(n, all))
		p.order()
		if c := p.crossings(); c > 0 {
			t.Errorf("%s: crossings of weight %d", name, c)
		}
	}
}

// Widths of DejaVu Sans at 12 pixels, as its font file states them; the other
// usual sans-serif fonts are narrower.
func TestTextWidthIsOnTheSafeSide(t *testing.T) {
	for text, want := range map[string]float64{
		"conv_3x3": 57.0, "sep_conv_3x3": 84.3, "conv_1x3_3x1": 85.4, "dw_conv_3x3": 80.4, "max_pool_2x2": 86.2, "skip": 24.2, "null": 21.9,
	} {
		if got := textWidth(text, 12); got < want*0.97 || got > want*1.15 {
			t.Errorf("%s: estimated %.1f, is %.1f", text, got, want)
		}
	}
}

func TestViewsShowWhatChanged(t *testing.T) {
	before, after := genotype(t, "ResBlock").Normal, genotype(t, "NAT_ResBlock").Normal
	views := Panel{Before: before, After: after}.views()
	if len(views) != 2 || views[1].note != ": 2 of 8 edges changed" {
		t.Fatalf("views %+v", views)
	}
	for i := range before.Edges {
		want := [2]role{plain, plain}
		if i == 2 || i == 4 { // null<0 of nodes 1 and 2 becomes skip
			want = [2]role{old, fresh}
		}
		if got := [2]role{views[0].edges[i], views[1].edges[i]}; got != want {
			t.Errorf("edge %d: roles %v, want %v", i, got, want)
		}
	}
	if views[0].nodes[0] != idle || views[1].nodes[0] != plain {
		t.Error("node -2 is read only after the change")
	}
	if same := (Panel{Before: before, After: before}).views(); len(same) != 1 || same[0].caption != "Unchanged" {
		t.Errorf("an unchanged cell has views %+v", same)
	}

	// The order of a node's edges is none of the changes; a new null cuts off what it fed.
	f := chain("conv_3x3", "conv_1x1")
	g := cellmap.Form{Edges: []cellmap.FormEdge{{Op: cellmap.Null, From: 1, To: 2}, {Op: cellmap.Null, From: 0, To: 2}, {Op: cellmap.Null, From: 0, To: 3}, {Op: "conv_1x1", From: 2, To: 3}}, Concat: []int{3}}
	v := Panel{Before: f, After: g}.views()[1]
	if got, want := fmt.Sprint(v.edges), fmt.Sprint([]role{plain, removed, plain, idle}); got != want {
		t.Errorf("roles %v, want %v", got, want)
	}
}

func TestBeforeAndAfterStandAlike(t *testing.T) {
	all := charts(Panel{Before: genotype(t, "ResBlock").Normal, After: genotype(t, "NAT_ResBlock").Normal}.views(), false)
	if !slices.Equal(all[0].nodes, all[1].nodes) {
		t.Errorf("nodes move from %v to %v", all[0].nodes, all[1].nodes)
	}
}

type drawer func(io.Writer, string, []Panel) error

var drawers = map[string]drawer{"svg": SVG, "dot": DOT, "html": HTML}

func draw(t testing.TB, d drawer, title string, panels ...Panel) string {
	t.Helper()
	var b bytes.Buffer
	if err := d(&b, title, panels); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGoldenPictures(t *testing.T) {
	res, nat := genotype(t, "ResBlock"), genotype(t, "NAT_ResBlock")
	enas := genotype(t, "NAT_ENAS")
	for name, panel := range map[string]Panel{
		"resblock":    {Title: "ResBlock", Subtitle: "normal cell", Before: res.Normal, After: nat.Normal},
		"enas_reduce": {Title: "NAT_ENAS", Before: enas.Reduce},
	} {
		for _, ext := range []string{"svg", "dot"} {
			path := filepath.Join("testdata", name+"."+ext)
			got := draw(t, drawers[ext], name, panel)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; look at the picture, then run with -update", path)
			}
		}
	}
}

func TestPicturesAreWellFormedAndTheSameEachTime(t *testing.T) {
	hostile := "</title><script>alert(1)</script> \"'&<>]]> \\N \x00\x1b[31m\n\t\xff\u202e\ufffe" + strings.Repeat("long ", 400)
	for name, f := range shapes(t) {
		if strings.HasPrefix(name, "random 1") {
			continue // the layout tests draw enough of these
		}
		panels := []Panel{
			{Title: hostile, Subtitle: hostile, Before: f},
			{Title: name, Before: f, After: genotype(t, "NAT_VGG").Reduce},
			{Before: f, After: f},
		}
		for ext, d := range drawers {
			text := draw(t, d, hostile, panels...)
			if again := draw(t, d, hostile, panels...); again != text {
				t.Errorf("%s: two %s pictures differ", name, ext)
			}
			if strings.Contains(text, "<script") && ext != "dot" {
				t.Errorf("%s: %s holds a title as markup", name, ext)
			}
			if ext == "svg" {
				checkXML(t, name, text)
			}
		}
	}
	for ext, d := range drawers {
		if text := draw(t, d, ""); ext == "svg" {
			checkXML(t, "no panels", text)
		}
	}
}

func checkXML(t *testing.T, name, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestHTMLNeedsNoNetwork(t *testing.T) {
	text := draw(t, HTML, "t", Panel{Before: genotype(t, "R1").Normal})
	text = strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, "")
	for _, bad := range []string{"http", "src=", "href", "url(", "@import"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
}

func TestGraphvizReadsDOT(t *testing.T) {
	dot, err := exec.LookPath("dot")
	if err != nil {
		t.Skip("Graphviz is not installed: no dot command")
	}
	cmd := exec.Command(dot, "-Tplain")
	cmd.Stdin = strings.NewReader(draw(t, DOT, `a "quoted" \title\`, Panel{Title: "x\\", Before: genotype(t, "NAONet").Normal, After: genotype(t, "R1").Normal}))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("dot: %v\n%s", err, out)
	}
	// 5 and 4 nodes, each with two edges; inputs and outputs; 3 and 4 edges to the output.
	if nodes, edges := strings.Count(string(out), "\nnode "), strings.Count(string(out), "\nedge "); nodes != 8+7 || edges != 10+8+3+4 {
		t.Errorf("dot sees %d nodes and %d edges", nodes, edges)
	}
}

func TestDrawRefuses(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		panel Panel
		want  string
	}{
		{Panel{Title: "x"}, "panel 0 (x): 0 edges: want two"},
		{Panel{Title: "x", Before: chain("conv_3x3"), After: cellmap.Form{Edges: chain("conv_3x3").Edges}}, "panel 0 (x): concat is empty"},
		{Panel{Title: "x", Before: randomForm(random, maxDrawnNodes+1)}, "a cell of 49 nodes: want at most 48"},
	} {
		for ext, d := range drawers {
			var b bytes.Buffer
			err := d(&b, "", []Panel{c.panel})
			if err == nil || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
				t.Errorf("%s: error %v with %d bytes written, want %q", ext, err, b.Len(), c.want)
			}
		}
	}
}

func BenchmarkSVG(b *testing.B) {
	res, nat := genotype(b, "ResBlock"), genotype(b, "NAT_ResBlock")
	panels := []Panel{{Before: res.Normal, After: nat.Normal}, {Before: genotype(b, "NAONet").Normal, After: genotype(b, "NAT_ENAS").Normal}}
	for b.Loop() {
		draw(b, SVG, "t", panels...)
	}
}
