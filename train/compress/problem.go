package compress

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/search"
)

// measured is what an evaluation found beside the loss.
type measured struct{ same, of int }

// A searched is the problem that a search solves, and what was measured on the way.
type searched struct {
	*recoverer
	problem *search.Problem
	cost    func(o *option) int64 // of the network, if an option alone is taken
	total   int64
	numbers [][]int // of the options that are searched, by site

	mutex   sync.Mutex
	results map[string]measured
}

// newSearched looks at every option of every site alone, and states the problem.
// Budget is a share of the cost: of multiply-adds, or of parameters.
func newSearched(ctx context.Context, r *recoverer, params bool, budget float64, progress func(done, of int)) (*searched, error) {
	s := &searched{recoverer: r, results: map[string]measured{}, total: r.cost.MAdds, cost: func(o *option) int64 { return o.madds }}
	if params {
		s.total, s.cost = r.cost.Params, func(o *option) int64 { return o.params }
	}
	p := &search.Problem{Fixed: 1, Budget: budget, Evaluate: s.evaluate}
	s.problem = p
	graph := newGraph(r)
	p.Graph = graph.Graph
	done, of := 0, 0
	for i := range r.sites {
		of += len(r.sites[i].options) - 1
	}
	for i := range r.sites {
		from := &r.sites[i]
		harms := make([]float64, len(from.options))
		for k := 1; k < len(harms); k++ {
			var err error
			if harms[k], err = r.harm(ctx, choice{from, &from.options[k], k}); err != nil {
				return nil, err
			}
			done++
			progress(done, of)
		}
		s.add(from, harms, graph)
	}
	return s, nil
}

// add states a site with the options that no other one of it beats in both cost
// and harm. numbers keeps which those are.
func (s *searched) add(from *site, harms []float64, graph *graph) {
	p := s.problem
	site := search.Site{Name: s.loose.Cells[from.cell].Name}
	cheapest := s.total
	for k := range from.options {
		cheapest = min(cheapest, s.cost(&from.options[k]))
	}
	var kept []int
	for k := range from.options {
		o := &from.options[k]
		beaten := false
		for j := range from.options {
			beats := s.cost(&from.options[j]) <= s.cost(o) && harms[j] <= harms[k]
			beaten = beaten || beats && j != k && (j < k || harms[j] < harms[k])
		}
		if k > 0 && beaten {
			continue
		}
		kept = append(kept, k)
		option := search.Option{Name: o.form.String(), Cost: float64(s.cost(o)-cheapest) / float64(s.total), Harm: harms[k]}
		if k > 0 {
			option.Actions = graph.actions(from.cell, o)
		}
		site.Options = append(site.Options, option)
	}
	p.Fixed -= float64(s.total-cheapest) / float64(s.total)
	p.Sites = append(p.Sites, site)
	s.numbers = append(s.numbers, kept)
}

// numbered turns the options of the problem into those of the sites.
func (s *searched) numbered(taken []int) []int {
	all := make([]int, len(taken))
	for i, k := range taken {
		all[i] = s.numbers[i][k]
	}
	return all
}

// harm is the share of the variance of a cell's output, on the images for
// ranking, that an option cannot explain with the cell alone refitted.
func (r *recoverer) harm(ctx context.Context, c choice) (float64, error) {
	out, err := r.recover(ctx, []choice{c}, alone)
	if err != nil {
		return 0, err
	}
	first := r.split.Fit + r.split.Held
	n := out.value.Len()
	return min(1, unexplained(r.original[out.at].Slice(first, n).Data, out.value.Slice(first, n).Data)), nil
}

// unexplained is |y - x|² / |x - mean x|².
func unexplained(x, y []float32) float64 {
	var sum, squares, wrong float64
	for i, v := range x {
		d := float64(y[i] - v)
		sum, squares, wrong = sum+float64(v), squares+float64(v)*float64(v), wrong+d*d
	}
	return wrong / max(squares-sum*sum/float64(max(len(x), 1)), 1e-30)
}

// choices are the options that a candidate takes, without those that change nothing.
func (n *network) choices(taken []int) []choice {
	var all []choice
	for i, k := range taken {
		if k > 0 {
			all = append(all, choice{&n.sites[i], &n.sites[i].options[k], k})
		}
	}
	return all
}

// evaluate implements search.Problem.Evaluate.
func (s *searched) evaluate(ctx context.Context, choice []int) (float64, error) {
	choice = s.numbered(choice)
	out, err := s.recover(ctx, s.choices(choice), ends)
	if err != nil {
		return 0, err
	}
	first := s.split.Fit + s.split.Held
	kl, same := divergence(s.output(), out.value, first)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.results[fmt.Sprint(choice)] = measured{same, out.value.Len() - first}
	return kl, nil
}

// A graph is the network as policies see it: its operations.
type graph struct {
	search.Graph
	nodes map[int]map[cellmap.EdgeID]int // by cell and edge
}

// features name what a policy sees of an operation.
var features = []string{"conv", "depthwise", "pool", "kernel", "channels in", "channels out", "resolution", "position", "cost", "weight scale", "change"}

// newGraph describes the operations of all cells: what they are, where they
// stand, what they cost, the scale of their weights, and how much their cell
// changes what passes through it.
func newGraph(r *recoverer) *graph {
	g := &graph{Graph: search.Graph{Names: features}, nodes: map[int]map[cellmap.EdgeID]int{}}
	madds := map[*onnxgraph.Node]int64{}
	for i := range r.cost.Nodes {
		madds[r.loose.Model.Graph.Nodes[i]] = r.cost.Nodes[i].MAdds
	}
	var last []int // operations that make the output of the cell before
	for i, c := range r.loose.Cells {
		g.nodes[i] = map[cellmap.EdgeID]int{}
		ends := make([][]int, len(c.Nodes)+2) // operations that each node's value comes from
		ends[0], ends[1] = last, last
		for k := range c.Nodes {
			for slot, e := range c.Nodes[k].Edges {
				switch e.Op.Class() {
				case cellmap.ClassSkip:
					ends[k+2] = append(ends[k+2], ends[e.From]...)
				case cellmap.ClassOther:
					id := len(g.Features)
					g.nodes[i][cellmap.EdgeID{Node: k + 2, Slot: slot}] = id
					g.Features = append(g.Features, r.features(c, &c.Nodes[k].Edges[slot], madds, float64(i)/float64(len(r.loose.Cells))))
					for _, from := range ends[e.From] {
						g.Edges = append(g.Edges, [2]int{from, id})
					}
					ends[k+2] = append(ends[k+2], id)
				}
			}
		}
		last = ends[len(ends)-1]
	}
	return g
}

func (g *graph) actions(cell int, o *option) []search.Action {
	var all []search.Action
	for i, id := range o.moves {
		to := 1
		if o.to[i].Class() == cellmap.ClassNull {
			to = 2
		}
		all = append(all, search.Action{Node: g.nodes[cell][id], To: to})
	}
	for _, w := range o.narrow {
		all = append(all, search.Action{Node: g.nodes[cell][w.Maker], To: 3})
	}
	return all
}

func (r *recoverer) features(c *cellmap.Cell, e *cellmap.Edge, madds map[*onnxgraph.Node]int64, position float64) []float64 {
	is := func(ok bool) float64 {
		if ok {
			return 1
		}
		return 0
	}
	h, w := e.Op.Size()
	var cost int64
	for _, n := range e.Nodes {
		cost += madds[n]
	}
	channels := func(name string) float64 {
		if s := r.types.Of(name).Shape; len(s) == 4 && s[1].Known() {
			return math.Log2(float64(max(1, s[1].N))) / 10
		}
		return 0
	}
	resolution := 0.0
	if s := r.types.Of(e.Value).Shape; len(s) == 4 && s[2].Known() && s[3].Known() {
		resolution = math.Log2(float64(max(1, s[2].N*s[3].N))) / 14
	}
	in := ""
	if len(e.Nodes) > 0 {
		in = e.Nodes[0].Input(0)
	}
	return []float64{
		is(e.Op.Family() == cellmap.Conv), is(e.Op.Family() == cellmap.DWConv), is(e.Op.IsPool()), float64(h*w) / 25,
		channels(in), channels(e.Value), resolution, position,
		10 * float64(cost) / float64(max(1, r.cost.MAdds)), r.scale(e), r.change(c),
	}
}

// scale is the root mean square of an operation's first weights times the root
// of what one result sums up, which is about 1 for weights as they are drawn.
func (r *recoverer) scale(e *cellmap.Edge) float64 {
	for _, n := range e.Nodes {
		t := r.loose.Model.Graph.Constant(n.Input(1))
		if !n.Is("Conv") || t == nil || len(t.Dims) < 2 {
			continue
		}
		v, err := t.Float32s()
		if err != nil || len(v) == 0 {
			return 0
		}
		sum := 0.0
		for _, x := range v {
			sum += float64(x) * float64(x)
		}
		return min(2, math.Sqrt(sum/float64(t.Dims[0])))
	}
	return 0
}

// change is how much of the variance of a cell's output its input does not
// explain as it is; 1 where shapes differ.
func (r *recoverer) change(c *cellmap.Cell) float64 {
	for i := range r.cuts[1:] {
		x, y := r.original[i], r.original[i+1]
		if r.cuts[i] == c.Inputs[1] && r.cuts[i+1] == c.Output && len(x.Data) == len(y.Data) {
			return min(1, unexplained(y.Data, x.Data))
		}
	}
	return 1
}
