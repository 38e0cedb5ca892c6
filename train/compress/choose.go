package compress

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/natonnx/natonnx/train/refit"
	"github.com/natonnx/natonnx/train/search"
)

// finalists is how many candidates are fitted on all images and compared again.
const finalists = 3

// A finalist is a candidate fitted on all images.
type finalist struct {
	search.Candidate
	*recovered
	kl       float64
	same, of int
}

// fit fits a candidate wholly, on all images.
func (c *compression) fit(ctx context.Context, x search.Candidate) (finalist, error) {
	if c.full == nil {
		first := c.split.Fit + c.split.Held
		c.full = c.recoverer(c.split, [2]int{0, c.split.Fit}, [2]int{c.split.Fit, first}, [2]int{first, first + c.split.Rank})
	}
	out, err := c.full.recover(ctx, c.choices(x.Choice), whole)
	if err != nil {
		return finalist{}, err
	}
	first := c.full.split.Fit + c.full.split.Held
	original, err := c.full.truth(ctx, len(c.cuts)-1)
	if err != nil {
		return finalist{}, err
	}
	kl, same := divergence(original, out.value, first)
	return finalist{x, out, kl, same, out.value.Len() - first}, nil
}

// viewed is how many images, with their views, are enough for fits.
const viewed = 1024

// recoverer prepares fits on parts of the images: what regressions see, what
// they hold back, and more. Of pictures that are few, regressions see several views.
func (c *compression) recoverer(s Split, parts ...[2]int) *recoverer {
	images := c.portion(parts[0])
	if c.seen.Pixels() {
		originals := images.Slice(0, images.Len())
		for number := range max(0, min(4, viewed/max(1, s.Fit))-1) {
			images.Data = append(images.Data, view(originals, number, c.Seed).Data...)
		}
	}
	s.Fit = images.Len()
	images.Data = append(images.Data, c.portion(parts[1:]...).Data...)
	return onePass(c.network, images, s, c.Seed, c.Workers)
}

// settle makes the file's network of a choice, fitted on all images.
func (c *compression) settle(ctx context.Context, taken []int) (*onnxgraph.Model, []refit.Report, error) {
	c.Progress(Progress{Stage: "fitting"})
	n := c.images.Len()
	s := Split{Fit: n - c.split.Held, Held: c.split.Held}
	r := c.recoverer(s, [2]int{0, s.Fit}, [2]int{s.Fit, n})
	out, err := r.recover(ctx, c.choices(taken), whole)
	if err != nil {
		return nil, nil, err
	}
	m, err := c.write(taken, out.fits)
	return m, out.reports, err
}

// choose picks the candidate to be written: the one of least divergence within
// the bounds; without bounds, the knee of the front, or the cheapest that keeps
// MaxDrop where that was asked for.
func (c *compression) choose(ctx context.Context) (finalist, error) {
	budget, _ := c.budget()
	switch {
	case c.Latency > 0:
		x, err := c.fastEnough(ctx)
		if err != nil {
			return finalist{}, err
		}
		return c.fit(ctx, x)
	case budget > 0:
		return c.best(ctx, budget)
	}
	front := search.Front(c.found)
	at := len(front) - 1
	if !c.Cheapest {
		knee, _ := search.Knee(front)
		at = slices.IndexFunc(front, func(x search.Candidate) bool { return slices.Equal(x.Choice, knee.Choice) })
	}
	return c.keeping(ctx, front[:at+1])
}

// best fits the best candidates within the budget and takes the best of these.
func (c *compression) best(ctx context.Context, budget float64) (best finalist, err error) {
	var within []search.Candidate
	for _, x := range c.found {
		if x.Cost <= budget+1e-9 && c.keepsBounds(x) {
			within = append(within, x)
		}
	}
	if len(within) == 0 {
		return best, fmt.Errorf("%w: of %d candidates none keeps all bounds", search.ErrBudget, len(c.found))
	}
	slices.SortStableFunc(within, func(a, b search.Candidate) int { return cmp.Compare(a.Loss, b.Loss) })
	within = within[:min(finalists, len(within))]
	for i, x := range within {
		c.Progress(Progress{Stage: "fitting", Done: i, Of: len(within), MAdds: x.Cost})
		f, err := c.fit(ctx, x)
		if err != nil {
			return best, err
		}
		if i == 0 || f.kl < best.kl {
			best = f
		}
	}
	return best, nil
}

// keepsBounds reports whether a candidate keeps both bounds, of which the search
// knows only the tighter one.
func (c *compression) keepsBounds(x search.Candidate) bool {
	madds, params := c.costOf(x.Choice)
	return (c.MAdds == 0 || madds <= c.MAdds) && (c.Params == 0 || params <= c.Params)
}

// costOf is what a choice costs: what its options save adds up.
func (c *compression) costOf(taken []int) (madds, params int64) {
	madds, params = c.cost.MAdds, c.cost.Params
	for _, ch := range c.choices(taken) {
		madds -= c.cost.MAdds - ch.option.madds
		params -= c.cost.Params - ch.option.params
	}
	return madds, params
}

// keeping returns the cheapest candidate of a front that loses no more than
// MaxDrop of its agreement on the images for ranking. Agreement falls along a
// front, by and large, so the place is found by halving.
func (c *compression) keeping(ctx context.Context, front []search.Candidate) (best finalist, err error) {
	low, high := 0, len(front)-1 // front[0] is the network as it was
	if best, err = c.fit(ctx, front[0]); err != nil {
		return best, err
	}
	for at := high; low < high; at = (low + high + 1) / 2 {
		c.Progress(Progress{Stage: "fitting", MAdds: front[at].Cost})
		f, err := c.fit(ctx, front[at])
		if err != nil {
			return best, err
		}
		if 100*(1-float64(f.same)/float64(f.of)) <= c.MaxDrop {
			best, low = f, at
		} else {
			high = at - 1
		}
	}
	return best, nil
}

// fastEnough returns the costliest candidate of the front that is as fast as
// asked for, measured on the runtime, and keeps the other bounds.
func (c *compression) fastEnough(ctx context.Context) (search.Candidate, error) {
	was, err := c.latency(ctx, c.found[0])
	if err != nil {
		return search.Candidate{}, err
	}
	fastest := was
	for _, x := range search.Front(c.found)[1:] {
		if !c.keepsBounds(x) {
			continue
		}
		c.Progress(Progress{Stage: "timing", MAdds: x.Cost})
		is, err := c.latency(ctx, x)
		if err != nil {
			return search.Candidate{}, err
		}
		if float64(is) <= c.Latency*float64(was) {
			return x, nil
		}
		fastest = min(fastest, is)
	}
	return search.Candidate{}, fmt.Errorf("%w: %.1f%% of the time of a run is asked for, the fastest candidate takes %.1f%%",
		search.ErrBudget, 100*c.Latency, 100*float64(fastest)/float64(was))
}

func (c *compression) latency(ctx context.Context, x search.Candidate) (time.Duration, error) {
	m, err := c.write(x.Choice, nil)
	if err != nil {
		return 0, err
	}
	l, err := measure.Timed(ctx, m, measure.LatencyOptions{Runs: 200, Limit: 3 * time.Second}, measure.Options{Runtime: c.Runtime, Workers: c.Workers})
	if err != nil {
		return 0, err
	}
	return l.Median, nil
}
