package compress

import (
	"cmp"
	"context"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/refit"
)

// widths are the shares of its channels that a narrowed cell may keep.
var widths = []float64{0.875, 0.75, 0.5, 0.25}

// vector is how many channels kernels compute at once: in between, time does not
// fall with the multiply-adds.
const vector = 16

// rankImages is how many images say which channels matter.
const rankImages = 256

// A narrowing keeps some of the channels between two convolutions of a cell.
type narrowing struct {
	cellmap.Channels
	keep int
}

// narrowings are the ways to make a cell narrower, all of its channels alike.
func (n *network) narrowings(c *cellmap.Cell) (all [][]narrowing) {
	for _, width := range widths {
		var list []narrowing
		for _, ch := range n.loose.Channels(c) {
			if keep := int(width*float64(ch.Count)) / vector * vector; keep > 0 {
				list = append(list, narrowing{ch, keep})
			}
		}
		if len(list) > 0 {
			all = append(all, list)
		}
	}
	return all
}

// rank puts the channels of all narrowings in order, those first that add most to
// what is made of them (He, Zhang, Sun, Channel pruning for accelerating very
// deep neural networks, ICCV 2017, choose by such parts too, with the lasso).
func (n *network) rank(ctx context.Context, images *refit.Value, seed uint64, workers int) error {
	some := images.Slice(0, min(rankImages, images.Len()))
	r := onePass(n, some, Split{Fit: some.Len()}, seed, workers)
	n.ranked = map[string][]int{}
	for _, s := range n.sites {
		for _, ch := range n.loose.Channels(n.loose.Cells[s.cell]) {
			x, err := r.truth(ctx, s.from)
			if err != nil {
				return err
			}
			r.forget(s.from)
			shares, err := r.fitter.Shares(ctx, ch.Value, n.cuts[s.from], x)
			if err != nil {
				return err
			}
			n.ranked[ch.Value] = descending(shares)
		}
	}
	return nil
}

// descending are the indexes of values from the largest to the smallest.
func descending(values []float64) []int {
	at := make([]int, len(values))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(i, j int) int { return cmp.Compare(values[j], values[i]) })
	return at
}

// kept are the channels that a narrowing keeps, in order; the first ones as long
// as they were not ranked.
func (n *network) kept(w narrowing) []int {
	order := n.ranked[w.Value]
	if order == nil {
		order = make([]int, w.Count)
		for i := range order {
			order[i] = i
		}
	}
	kept := slices.Clone(order[:w.keep])
	slices.Sort(kept)
	return kept
}

// lower writes choices on one reading of the network, and says which values
// have fewer channels then.
func (n *network) lower(r *cellmap.Map, choices []choice) (*onnxgraph.Model, map[string]refit.Channels, error) {
	p, err := n.patch(r, choices)
	if err != nil {
		return nil, nil, err
	}
	m, err := r.Model.Apply(p)
	if err != nil {
		return nil, nil, err
	}
	narrowed := map[string]refit.Channels{}
	for _, ch := range choices {
		for _, w := range ch.option.narrow {
			p, values, err := cellmap.Narrow(m, w.Value, n.kept(w))
			if err != nil {
				return nil, nil, err
			}
			if m, err = m.Apply(p); err != nil {
				return nil, nil, err
			}
			for name, v := range values {
				narrowed[name] = refit.Channels(v)
			}
		}
	}
	return m, narrowed, nil
}
