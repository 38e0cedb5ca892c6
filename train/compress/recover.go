package compress

import (
	"context"
	"math"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/natonnx/natonnx/train/refit"
)

// A recoverer recovers candidates in closed form, on fixed images.
type recoverer struct {
	*network
	fitter refit.Fitter
	split  Split
	// original holds, for each cut, the original's value for all images.
	original []*refit.Value
	cache    *cache
	keep     bool // what the original has at all cuts
}

// newRecoverer prepares the recovery of several candidates: it keeps what the
// original has at every cut.
func newRecoverer(ctx context.Context, n *network, images *refit.Value, split Split, seed uint64, workers int) (*recoverer, error) {
	r := onePass(n, images, split, seed, workers)
	for i := range n.cuts[1:] {
		if _, err := r.truth(ctx, i+1); err != nil {
			return nil, err
		}
	}
	r.keep = true
	return r, nil
}

// onePass prepares the recovery of one candidate at a time, with the memory of few values.
func onePass(n *network, images *refit.Value, split Split, seed uint64, workers int) *recoverer {
	r := &recoverer{network: n, split: split, cache: newCache(cacheBytes), original: make([]*refit.Value, len(n.cuts))}
	r.original[0] = images
	r.fitter = refit.Fitter{Original: n.loose.Model, Types: n.types, Fit: split.Fit, Held: split.Held, Workers: workers, Seed: seed}
	return r
}

// truth is what the original has at a cut.
func (r *recoverer) truth(ctx context.Context, cut int) (*refit.Value, error) {
	if v := r.original[cut]; v != nil {
		return v, nil
	}
	last := cut
	for r.original[last] == nil {
		last--
	}
	v, err := r.fitter.Advance(ctx, r.loose.Model, r.cuts[last], r.cuts[cut], r.original[last])
	r.original[cut] = v
	return v, err
}

// forget lets go of what the original has before a cut, but the images.
func (r *recoverer) forget(cut int) {
	if !r.keep {
		clear(r.original[min(1, cut):cut])
	}
}

// output is the original's output.
func (r *recoverer) output() *refit.Value { return r.original[len(r.original)-1] }

// A recovered is a candidate with fitted weights.
type recovered struct {
	model   *onnxgraph.Model // takes any batch
	fits    []refit.Weights
	reports []refit.Report
	// at is the cut that was reached, and value what stands there, for all images.
	at    int
	value *refit.Value
}

// A reach says which operations are fitted, and how far.
type reach uint8

const (
	alone reach = iota // those that end the changed cells; nothing is computed behind the first one
	ends               // those that end the changed cells and all cells behind them
	whole              // all from the first changed cell on
)

// recover lowers choices and fits what is left, from the input to the output.
func (r *recoverer) recover(ctx context.Context, choices []choice, how reach) (*recovered, error) {
	out := &recovered{at: len(r.cuts) - 1}
	m, narrowed, err := r.lower(r.loose, choices)
	if err != nil {
		return nil, err
	}
	out.model = m
	if len(choices) == 0 {
		out.value, err = r.truth(ctx, out.at)
		return out, err
	}
	w := &walk{recoverer: r, recovered: out, how: how, changed: map[int]form{}, narrowed: narrowed}
	for _, c := range choices {
		w.changed[c.site.from] = c.option.form
	}
	if err := w.begin(ctx, choices); err != nil {
		return nil, err
	}
	for out.at < len(r.cuts)-1 {
		if err := w.step(ctx); err != nil {
			return nil, err
		}
		if how == alone {
			break
		}
	}
	return out, nil
}

// A walk goes through a candidate from cut to cut.
type walk struct {
	*recoverer
	*recovered
	how     reach
	changed map[int]form // by the cut before the cell
	// narrowed are the values that have fewer channels than the original's.
	narrowed map[string]refit.Channels
	name     string   // of the value that stands at the cut
	keys     []string // by cut: names the choices before it; "": no state is kept there
}

// begin goes to the first cut at which the candidate differs from the original,
// or farther, where an earlier candidate began alike.
func (w *walk) begin(ctx context.Context, choices []choice) (err error) {
	first := len(w.cuts)
	for at := range w.changed {
		first = min(first, at)
	}
	for w.changed[first].folds() {
		first--
	}
	w.at, w.name = first, w.cuts[first]
	if w.value, err = w.truth(ctx, first); err != nil || w.how != ends {
		return err
	}
	w.keys = keys(len(w.cuts), choices)
	for i := len(w.cuts) - 1; i > first; i-- {
		if w.changed[i].folds() {
			continue
		}
		if s := w.cache.get(w.keys[i]); s != nil {
			m, err := refit.Apply(w.model, s.fits)
			if err != nil {
				return err
			}
			w.model, w.fits, w.at, w.name, w.value = m, s.fits, i, s.name, s.value
			return nil
		}
	}
	return nil
}

// step fits and computes up to the next cut that is not in the middle of
// something folded.
func (w *walk) step(ctx context.Context) error {
	i, j := w.at, w.at+1
	_, touched := w.changed[i]
	stands := map[string]string{}
	var values []string // that stand for others, in order
	for ; j < len(w.cuts)-1 && w.changed[j].folds(); j++ {
		v := before(w.model, w.current(i, j))
		stands[v] = before(w.loose.Model, w.cuts[j+1])
		values = append(values, v)
		touched = true
	}
	end := w.current(i, j)
	if touched {
		stands[before(w.model, end)] = before(w.loose.Model, w.cuts[j])
	}
	if touched || w.how != alone {
		outputs, err := w.outputs(w.name, end, values)
		if err != nil {
			return err
		}
		s := refit.Stretch{From: w.name, Original: w.cuts[i], Outputs: outputs, Stands: stands, Narrowed: w.narrowed}
		original, err := w.truth(ctx, i)
		if err != nil {
			return err
		}
		m, fits, reports, err := w.fitter.Stretch(ctx, w.model, s, original, w.value)
		if err != nil {
			return err
		}
		w.model, w.fits, w.reports = m, append(slices.Clip(w.fits), fits...), append(w.reports, reports...)
	}
	value, err := w.fitter.Advance(ctx, w.model, w.name, end, w.value)
	if err != nil {
		return err
	}
	if _, err := w.truth(ctx, j); err != nil {
		return err
	}
	w.forget(j)
	w.at, w.name, w.value = j, end, value
	if w.how == ends {
		w.cache.put(w.keys[j], &state{w.fits, w.name, w.value})
	}
	return nil
}

// current is what the rewritten network calls cut j of the original; where the
// cells between i and j are folded it may have no value of that name.
func (w *walk) current(i, j int) string {
	for ; j > i; j-- {
		if w.model.Graph.Index().Producer[w.cuts[j]] != nil {
			return w.cuts[j]
		}
	}
	return w.name
}

// outputs are the operations to be fitted between two values, by what they make.
// values are those between that stand for others of the original.
func (w *walk) outputs(from, to string, values []string) ([]string, error) {
	if from == to {
		return nil, nil
	}
	if w.how != whole {
		var all []string
		for _, v := range append(values, before(w.model, to)) {
			for _, f := range feeders(w.model, v) {
				if !slices.Contains(all, f) {
					all = append(all, f)
				}
			}
		}
		return all, nil
	}
	part, err := w.model.Extract([]*onnxgraph.Value{{Name: from}}, []string{to})
	if err != nil {
		return nil, err
	}
	var all []string
	for _, n := range part.Graph.Nodes {
		if n.Is("Conv", "Gemm") {
			all = append(all, n.Outputs[0])
		}
	}
	return all, nil
}

// temperature softens what is compared (Hinton, Vinyals, Dean, Distilling the
// knowledge in a neural network, 2015): on images that a network was trained on
// its softmax is nearly one class, whatever becomes of the others.
const temperature = 4

// divergence is the mean Kullback-Leibler divergence, in nats, of the softmax of
// two networks' outputs over the temperature, over the samples from first on; and
// on how many of them the top classes agree.
func divergence(original, now *refit.Value, first int) (kl float64, same int) {
	n := original.Len()
	for i := first; i < n; i++ {
		p, q := original.Slice(i, i+1).Data, now.Slice(i, i+1).Data
		lp, lq := logSoftmax(p), logSoftmax(q)
		for k := range lp {
			kl += math.Exp(lp[k]) * (lp[k] - lq[k])
		}
		if measure.Top(p) == measure.Top(q) {
			same++
		}
	}
	return kl / float64(n-first), same
}

func logSoftmax(x []float32) []float64 {
	most := float64(slices.Max(x))
	sum, y := 0.0, make([]float64, len(x))
	for i, v := range x {
		y[i] = (float64(v) - most) / temperature
		sum += math.Exp(y[i])
	}
	for i := range y {
		y[i] -= math.Log(sum)
	}
	return y
}
