package compress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/natonnx/natonnx/engine/backend"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/distill"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/natonnx/natonnx/train/refit"
	"github.com/natonnx/natonnx/train/search"
)

// Options say how a network is compressed.
type Options struct {
	Search string // the name of a searcher of package search; "": nat
	Adapt  bool   // the policy of nat learns from what its proposals are worth
	Evals  int    // candidates that are evaluated; 0: DefaultEvals
	Time   time.Duration
	// Distill trains the chosen network for so many epochs after the fits; 0: none.
	Distill int
	// MAdds and Params bound the result's, in numbers; Latency as a share of the
	// network's as it was, on Runtime. 0: no bound. Without any the knee of the
	// trade-off is taken.
	MAdds, Params int64
	Latency       float64
	// MaxDrop is how many percentage points of accuracy (without labels: of
	// agreement) may be lost on the guard's images.
	MaxDrop float64
	// Cheapest takes the cheapest network that keeps MaxDrop on the images of
	// the search, instead of the knee.
	Cheapest bool
	// Guard are images to judge the result by; nil: some of the others, kept apart.
	Guard    *dataset.Dataset
	Runtime  backend.Runtime // for the guard and the latency; nil: the default one
	Seed     uint64
	Workers  int   // cores; 0: all
	Memory   int64 // the most that activations may take, in bytes; 0: DefaultMemory
	Progress func(Progress)
}

// Defaults of Options.
const (
	DefaultEvals  = 120
	DefaultEpochs = distill.DefaultEpochs
	DefaultMemory = 4 << 30
)

// Progress is how far a compression is.
type Progress struct {
	Stage    string // "looking at cells", "searching", "fitting", "distilling", "judging"
	Done, Of int
	// MAdds is the share of the multiply-adds, and Loss the divergence, of the
	// best candidate so far, while searching.
	MAdds, Loss float64
}

// A Result is a compressed network.
type Result struct {
	Model  *onnxgraph.Model
	Before Point
	Chosen Point
	// Candidates are all that were evaluated, in order, the network as it was
	// first; their losses are from before the fit on all images. Front indexes
	// those that no other beats, from the costliest to the cheapest.
	Candidates []Point
	Front      []int
	Search     string
	Recipe     Recipe
	Fits       []refit.Report
	Distilled  *distill.Report // nil: not asked for
	Guard      Verdict
	// Interrupted says that the search or the distillation was cut short.
	Interrupted bool

	made *compression
}

// ErrNothing says that a network has no cell that could be written at less cost.
var ErrNothing = errors.New("no cell can be written at less cost")

// Run compresses a network. Labels of the images are looked at by the guard
// alone. The result may violate MaxDrop: Result.Guard says so, and the caller
// decides. When the context ends during the search, the best candidate so far is
// finished all the same, and during the distillation, the network as far as it
// was taught: Result.Interrupted says so. Without a candidate the context's error
// is all that comes.
//
// Errors are, beside those of reading data, a *[NetworkError], a *[DataError], a
// *[measure.MisfitError], [ErrNothing], and one that wraps [search.ErrBudget].
func Run(ctx context.Context, m *onnxgraph.Model, images *dataset.Dataset, o Options) (*Result, error) {
	c, err := prepare(ctx, m, images, o)
	if err != nil {
		return nil, err
	}
	return c.run(ctx)
}

// A compression is one run.
type compression struct {
	Options
	*network
	model       *onnxgraph.Model
	seen, guard *dataset.Dataset
	images      *refit.Value
	split       Split
	found       []search.Candidate
	searched    *searched
	full        *recoverer
}

func prepare(ctx context.Context, m *onnxgraph.Model, images *dataset.Dataset, o Options) (*compression, error) {
	if o.Search == "" {
		o.Search = "nat"
	}
	if o.Evals == 0 {
		o.Evals = DefaultEvals
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	c := &compression{Options: o, model: m}
	err := check(ctx, m, o, images)
	if err != nil {
		return nil, err
	}
	if c.network, err = newNetwork(m); err != nil {
		return nil, err
	}
	if len(c.sites) == 0 {
		return nil, c.nothing()
	}
	c.seen, c.guard = splitGuard(images, o.Guard, o.Seed)
	most := min(maxImages, int(o.Memory/2/max(1, c.bytesPerImage())))
	n := min(c.seen.Len(), most)
	if n < fewest {
		return nil, unusable("%s at a time fit into %d bytes of memory, want %d or more", plural(n), o.Memory, fewest)
	}
	if c.images, err = load(ctx, c.seen, n, o.Seed); err != nil {
		return nil, err
	}
	c.split = portions(c.images.Len())
	return c, c.rank(ctx, c.images, o.Seed, o.Workers)
}

// nothing is the error of a network of which nothing can go, which may be what is
// asked for.
func (c *compression) nothing() error {
	if c.keepsBounds(search.Candidate{}) && c.Latency == 0 {
		return ErrNothing
	}
	return fmt.Errorf("%w: %v", search.ErrBudget, ErrNothing)
}

// maxImages is how many images are fitted on at most: more hardly change a fit.
const maxImages = 2048

// bytesPerImage is what the values at the cuts take.
func (n *network) bytesPerImage() (bytes int64) {
	for _, name := range n.cuts {
		size := int64(4)
		for _, d := range n.types.Of(name).Shape[1:] {
			size *= max(1, d.N)
		}
		bytes += size
	}
	return bytes
}

// budget is the share of the cost that a candidate may have, and whether the
// cost is parameters; 0: no bound.
func (c *compression) budget() (share float64, params bool) {
	madds, par := 1.0, 1.0
	if c.MAdds > 0 {
		madds = float64(c.MAdds) / float64(c.cost.MAdds)
	}
	if c.Params > 0 {
		par = float64(c.Params) / float64(c.cost.Params)
	}
	switch {
	case c.Params > 0 && par < madds:
		return par, true
	case c.MAdds > 0:
		return madds, false
	}
	return 0, false
}

func (c *compression) run(ctx context.Context) (*Result, error) {
	r, best, err := c.plan(ctx)
	if err != nil {
		return nil, err
	}
	return r, c.finish(ctx, best, r)
}

// plan searches, and chooses the candidate to be written.
func (c *compression) plan(ctx context.Context) (*Result, finalist, error) {
	err := c.search(ctx)
	cut := ctx.Err() != nil
	if err != nil && (!cut || len(c.found) < 2) {
		return nil, finalist{}, err
	}
	best, err := c.choose(context.WithoutCancel(ctx)) // what was found is worth finishing
	if err != nil {
		return nil, finalist{}, errors.Join(ctx.Err(), err)
	}
	made := *c
	r := &Result{Search: c.Search, Recipe: c.recipe(best.Choice), Interrupted: cut, made: &made}
	return r, best, c.points(r, best)
}

// search evaluates candidates on a part of the images.
func (c *compression) search(ctx context.Context) error {
	run, ok := search.Searchers()[c.Search]
	if !ok {
		return fmt.Errorf("there is no search called %q", c.Search)
	}
	if c.searched == nil {
		if err := c.state(ctx); err != nil {
			return err
		}
	}
	o := search.Options{Evals: c.Evals, Time: c.Time, Seed: c.Seed, Workers: workers(c.Workers), Adapt: c.Adapt}
	o.Progress = func(done, total int, best search.Candidate) {
		madds, _ := c.costOf(c.searched.numbered(best.Choice))
		c.Progress(Progress{Stage: "searching", Done: done, Of: total, MAdds: float64(madds) / float64(c.cost.MAdds), Loss: best.Loss})
	}
	var err error
	c.found, err = run(ctx, c.searched.problem, o)
	for i := range c.found {
		c.found[i].Choice = c.searched.numbered(c.found[i].Choice)
	}
	return err
}

// state states the problem that is searched.
func (c *compression) state(ctx context.Context) error {
	small := c.split.small()
	first := c.split.Fit + c.split.Held
	some := c.portion([2]int{0, small.Fit}, [2]int{c.split.Fit, c.split.Fit + small.Held}, [2]int{first, first + small.Rank})
	r, err := newRecoverer(ctx, c.network, some, small, c.Seed, c.Workers)
	if err != nil {
		return err
	}
	r.fitter.Quick = true
	budget, params := c.budget()
	c.searched, err = newSearched(ctx, r, params, budget, func(done, of int) {
		c.Progress(Progress{Stage: "looking at cells", Done: done, Of: of})
	})
	r.fitter.Workers = 1 // evaluations run side by side
	return err
}

// finish makes the file's network of a finalist, distills and judges it.
func (c *compression) finish(ctx context.Context, best finalist, r *Result) error {
	rest := context.WithoutCancel(ctx)
	m, reports, err := c.settle(rest, best.Choice)
	if err != nil {
		return err
	}
	r.Model, r.Fits = m, reports
	if err := c.distill(ctx, r); err != nil {
		return err
	}
	r.Guard, err = c.judge(rest, r.Model)
	return err
}

// distill teaches the network, where that was asked for, until the context ends.
func (c *compression) distill(ctx context.Context, r *Result) error {
	r.Recipe.Distill = 0
	if c.Distill == 0 || len(r.Recipe.Steps) == 0 {
		return nil
	}
	o := distill.Options{Epochs: c.Distill, Seed: c.Seed, Workers: c.Workers, Memory: c.Memory}
	o.Progress = func(done, total int, loss float64) {
		c.Progress(Progress{Stage: "distilling", Done: done, Of: total, Loss: loss})
	}
	taught, report, err := distill.Run(ctx, c.model, r.Model, c.seen, o)
	cut := err != nil && ctx.Err() != nil
	if err != nil && !cut {
		return err
	}
	r.Interrupted = r.Interrupted || cut
	if taught != nil {
		r.Model, r.Distilled, r.Recipe.Distill, r.Recipe.Cut = taught, report, c.Distill, cut
	}
	return nil
}

// write lowers a choice on the file's network and gives it fitted weights.
func (c *compression) write(taken []int, fits []refit.Weights) (*onnxgraph.Model, error) {
	m, _, err := c.lower(c.file, c.choices(taken))
	if err != nil {
		return nil, err
	}
	return refit.Apply(m, fits)
}

// points lists what was evaluated.
func (c *compression) points(r *Result, best finalist) error {
	for _, x := range c.found {
		p, err := c.point(x)
		if err != nil {
			return err
		}
		r.Candidates = append(r.Candidates, p)
	}
	for _, x := range search.Front(c.found) {
		r.Front = append(r.Front, slices.IndexFunc(c.found, func(y search.Candidate) bool { return slices.Equal(x.Choice, y.Choice) }))
	}
	r.Before = r.Candidates[0]
	p, err := c.point(best.Candidate)
	p.Loss, p.Agreement, p.Chosen = best.kl, measure.Share{Count: best.same, Of: best.of}, true
	r.Chosen = p
	return err
}

func (c *compression) point(x search.Candidate) (Point, error) {
	m, err := c.write(x.Choice, nil)
	if err != nil {
		return Point{}, err
	}
	cost := m.Cost(m.Infer())
	got := c.searched.results[fmt.Sprint(x.Choice)]
	p := Point{Cost: Cost{MAdds: cost.MAdds, Params: cost.Params, Memory: cost.PeakActivation}, Loss: x.Loss,
		Agreement: measure.Share{Count: got.same, Of: got.of}}
	for _, ch := range c.choices(x.Choice) {
		p.Moves = append(p.Moves, c.describe(ch))
	}
	return p, nil
}

// Point makes the network of candidate i, fitted on all images. Nobody has judged it.
func (r *Result) Point(ctx context.Context, i int) (*Result, error) {
	c, taken := r.made, r.made.found[i].Choice
	m, reports, err := c.settle(ctx, taken)
	p := &Result{Model: m, Before: r.Before, Chosen: r.Candidates[i], Candidates: r.Candidates, Search: r.Search, Recipe: c.recipe(taken), Fits: reports}
	p.Recipe.Distill = 0
	return p, err
}
