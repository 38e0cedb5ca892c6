package train

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/train/checkpoint"
	"github.com/natonnx/natonnx/transformer"
)

// PolicyOptions say how [Policy] trains. Zero numbers take the values in brackets.
type PolicyOptions struct {
	Data    string            // the NAS-Bench-201 table, as [OpenTable] reads it
	Name    string            // of the policy [nat-gcn]
	Rules   transformer.Rules // [transformer.NAT]
	MaxCost float64           // bound on the mean cost after, as a share of that before; 0: none
	Latency string            // a table of latencies, as [OpenLatency] reads it; empty: multiply-adds are the cost
	Device  string            // of the latencies
	Seed    uint64
	Seeds   int // how many policies to train, with Seed, Seed+1, ...; the best is kept [5]
	Steps   int // per policy [8000]
	// Checkpoint is a folder that keeps the state of the training, and that it
	// goes on from; empty: none.
	Checkpoint string
	// Progress, if set, is called every now and then.
	Progress func(PolicyProgress)
	Log      io.Writer // if set, receives the curves as CSV, seed by seed
}

// PolicyProgress is the state of [Policy]: the last point of one of its seeds,
// and how many of all steps are done, by earlier runs too.
type PolicyProgress struct {
	CurvePoint
	Seed                 uint64
	Done, Total, Resumed int
}

const defaultSeeds = 5

// Policy trains policies on NAS-Bench-201 by [Learn], side by side, one for each
// seed. It keeps the one that is best on the cells that choose, and scores it,
// and every other, on the held-out cells. The result has its card and is rounded
// as in a file: the same options give the same bytes from
// [transformer.GCN.Encode], on the same kind of processor, resumed or not.
func Policy(ctx context.Context, o PolicyOptions) (*transformer.GCN, error) {
	o.Seeds, o.Steps = cmp.Or(o.Seeds, defaultSeeds), cmp.Or(o.Steps, defaultSteps)
	o.Name, o.Rules = cmp.Or(o.Name, transformer.DefaultPolicy), cmp.Or(o.Rules, transformer.NAT)
	if o.Seeds < 1 {
		return nil, fmt.Errorf("%d seeds, want 1 or more", o.Seeds)
	}
	table, err := OpenTable(o.Data)
	if err != nil {
		return nil, err
	}
	var latency *Latency
	if o.Latency != "" {
		if latency, err = OpenLatency(o.Latency, o.Device); err != nil {
			return nil, err
		}
	}
	run := &policyRun{PolicyOptions: o, latency: latency, table: table, split: table.Split(), curves: make([]curve, o.Seeds)}
	if o.Log != nil {
		run.log = csv.NewWriter(o.Log)
		if err := run.write(curveColumns); err != nil {
			return nil, err
		}
	}
	learnt, err := run.learn(ctx)
	if err != nil {
		return nil, err
	}
	best, scores := learnt[0], make([]heldOut, o.Seeds)
	for i, l := range learnt {
		for w := range scores[i] {
			if scores[i][w], err = Evaluate(ctx, l.Policy, table, &Writings[w], run.split.HeldOut, l.Seed); err != nil {
				return nil, err
			}
		}
		if l.better(best, o.MaxCost) {
			best = l
		}
	}
	return best.Policy.(*transformer.GCN).Rounded(run.card(best, scores))
}

// point returns the point of the curve that was kept.
func (l *Learnt) point() CurvePoint {
	for _, p := range l.Curve {
		if p.Step == l.BestStep {
			return p
		}
	}
	return CurvePoint{}
}

func (l *Learnt) better(than *Learnt, maxCost float64) bool {
	return l.point().beats(than.point(), maxCost)
}

// heldOut are the scores of one policy on the held-out cells.
type heldOut [scoredWritings][Datasets]Evaluation

type policyRun struct {
	PolicyOptions
	table   *Table
	latency *Latency
	split   Split

	mu     sync.Mutex
	curves []curve // by seed
	log    *csv.Writer
	logged int // seeds whose curves are written whole

	resumed int // steps of earlier runs
}

// A curve is what one seed has reported.
type curve struct {
	points  []CurvePoint
	written int // of points, in the log
}

// learn trains all seeds, side by side.
func (r *policyRun) learn(ctx context.Context) ([]*Learnt, error) {
	out := make([]*Learnt, r.Seeds)
	err := SideBySide(ctx, r.Seeds, func(ctx context.Context, i int) (err error) {
		out[i], err = r.seed(ctx, i)
		return err
	})
	return out, err
}

// SideBySide calls f for 0 to n-1, as many at once as there are cores. The first
// error stops the others, by the context that they get, and is returned.
func SideBySide(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := range next {
				if ctx.Err() != nil {
					continue
				}
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

func (r *policyRun) seed(ctx context.Context, i int) (*Learnt, error) {
	o := LearnOptions{Table: r.table, Rules: r.Rules, Seed: r.Seed + uint64(i), Steps: r.Steps, MaxCost: r.MaxCost, Latency: r.latency}
	keep := o.checkpoint(r.Checkpoint)
	var err error
	if o.Resume, err = keep.Load(); err != nil {
		return nil, err
	}
	if o.Resume != nil {
		r.mu.Lock()
		r.resumed += o.Resume.Training.Step
		r.mu.Unlock()
		if err := r.report(i, o.Resume.Curve); err != nil {
			return nil, err
		}
	}
	o.Report = func(s *LearnState) error {
		if err := keep.Save(s); err != nil {
			return err
		}
		return r.report(i, s.Curve)
	}
	return Learn(ctx, o)
}

// checkpoint keeps the state of a training in a folder, if one is named.
func (o LearnOptions) checkpoint(dir string) (f checkpoint.File[LearnState]) {
	if dir == "" {
		return f
	}
	f.Path = filepath.Join(dir, fmt.Sprintf("seed-%d.state", o.Seed))
	f.Of = fmt.Sprintf("1: table %s, rules %s, seed %d, %d steps, cost %v", o.Table.digest, o.Rules.Name, o.Seed, o.Steps, o.MaxCost)
	if o.Latency != nil {
		f.Of += " by " + o.Latency.Device
	}
	return f
}

// report takes the curve of a seed as far as it goes, and shows and logs it.
func (r *policyRun) report(seed int, points []CurvePoint) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.curves[seed].points = points
	if r.Progress != nil && len(points) > 0 {
		p := PolicyProgress{CurvePoint: points[len(points)-1], Seed: r.Seed + uint64(seed), Total: r.Seeds * r.Steps, Resumed: r.resumed}
		for _, c := range r.curves {
			if n := len(c.points); n > 0 {
				p.Done += c.points[n-1].Step
			}
		}
		r.Progress(p)
	}
	if r.log == nil {
		return nil
	}
	return r.writeCurves()
}

var curveColumns = []string{"seed", "step", "reward", "entropy", "baseline", "rate", "choose_accuracy", "choose_captured_percent", "choose_cost"}

// writeCurves writes what there is, seed by seed.
func (r *policyRun) writeCurves() error {
	for ; r.logged < r.Seeds; r.logged++ {
		c := &r.curves[r.logged]
		for ; c.written < len(c.points); c.written++ {
			p := c.points[c.written]
			row := []string{strconv.FormatUint(r.Seed+uint64(r.logged), 10), strconv.Itoa(p.Step)}
			for _, x := range []float64{p.Reward, p.Entropy, p.Baseline, p.Rate, p.Accuracy, p.Captured, p.Cost} {
				row = append(row, strconv.FormatFloat(x, 'g', 6, 64))
			}
			if err := r.write(row); err != nil {
				return err
			}
		}
		if c.written == 0 || c.points[c.written-1].Step < r.Steps {
			return nil
		}
	}
	return nil
}

func (r *policyRun) write(row []string) error {
	if err := r.log.Write(row); err != nil {
		return err
	}
	r.log.Flush()
	return r.log.Error()
}

func (r *policyRun) card(best *Learnt, seeds []heldOut) transformer.Card {
	var o Options
	o.defaults()
	bound := ""
	if r.MaxCost > 0 {
		cost := "multiply-adds"
		if r.latency != nil {
			cost = "latency on " + r.Device
		}
		bound = fmt.Sprintf("the mean %s of the results bounded by %v of the inputs', by a price on it; ", cost, r.MaxCost)
	}
	return transformer.Card{
		Name: r.Name, Kind: string(KindGCN), Rules: r.Rules.Name, Seed: r.Seed, Command: r.command(),
		Training: fmt.Sprintf("REINFORCE on the table of NAS-Bench-201 (sha256 %.12s), CIFAR-10 only: reward test accuracy after minus before, "+
			"as fractions of 1; %sas inputs, %d cells train, %d choose and %d are held out, cells that are one network in one part "+
			"(rewards look up what inputs become, which may be any cell); cells in %d writings, which take turns; "+
			"%d steps of %d cells with %d samples each, Adam at %v and entropy weight %v, both falling to 0 along a cosine; "+
			"of seeds %d to %d the best on the cells that choose: seed %d at step %d; not measured on other networks",
			r.table.digest, bound, len(r.split.Train), len(r.split.Choose), len(r.split.HeldOut), len(Writings),
			r.Steps, o.Batch, o.Samples, o.Rate, o.Entropy,
			r.Seed, r.Seed+uint64(len(seeds))-1, best.Seed, best.BestStep),
		Scores: cardScores(seeds[best.Seed-r.Seed], seeds),
	}
}

// command is what to type to train the policy again.
func (r *policyRun) command() string {
	var s strings.Builder
	fmt.Fprintf(&s, "natonnx train policy --data %s", legible.ShellWord(filepath.Base(r.Data)))
	if r.Rules.Name != transformer.NAT.Name {
		fmt.Fprintf(&s, " --rules %s", r.Rules.Name)
	}
	switch {
	case r.latency != nil:
		fmt.Fprintf(&s, " --latency %s --device %s --max-latency %g%%", legible.ShellWord(filepath.Base(r.Latency)), legible.ShellWord(r.Device), 100*r.MaxCost)
	case r.MaxCost > 0:
		fmt.Fprintf(&s, " --max-madds %g%%", 100*r.MaxCost)
	}
	if r.Steps != defaultSteps {
		fmt.Fprintf(&s, " --steps %d", r.Steps)
	}
	if r.Seeds != defaultSeeds {
		fmt.Fprintf(&s, " --seeds %d", r.Seeds)
	}
	fmt.Fprintf(&s, " --seed %d -o %s", r.Seed, legible.ShellWord(r.Name+".onnx"))
	return s.String()
}

// The names of two scores on a policy's card.
const (
	CapturedScore = "captured headroom, most probable transformation"
	CostScore     = "multiply-adds after, most probable transformation"
)

func cardScores(kept heldOut, seeds []heldOut) (scores []transformer.Score) {
	for d, e := range kept[0] {
		on := "NAS-Bench-201 held-out cells, " + e.Dataset.String()
		add := func(name string, value float64) {
			// Two decimals are what a few thousand cells can bear.
			scores = append(scores, transformer.Score{Name: name, On: on, Value: math.Round(value*100) / 100, Unit: "%"})
		}
		add("accuracy of the input cells", e.Input)
		add("accuracy, most probable transformation", e.Max.Accuracy)
		add("accuracy, most probable of 10 samples", e.Sampled.Accuracy)
		add("accuracy, best that the moves reach", e.Reachable)
		add(CapturedScore, e.Max.Captured)
		add("captured headroom, most probable of 10 samples", e.Sampled.Captured)
		add("cells made worse, most probable transformation", e.Max.Worse)
		add("cells made worse, most probable of 10 samples", e.Sampled.Worse)
		add("captured headroom, best of 10 by look-up on CIFAR-10", e.Ranked.Captured)
		add("captured headroom, operations in nodes of their own", kept[1][d].Max.Captured)
		mean, deviation := spread(seeds, d)
		add(fmt.Sprintf("captured headroom, mean of %d seeds", len(seeds)), mean)
		if len(seeds) > 1 {
			add(fmt.Sprintf("captured headroom, standard deviation over %d seeds", len(seeds)), deviation)
		}
	}
	e := kept[0][CIFAR10]
	return append(scores, transformer.Score{
		Name: CostScore, On: "NAS-Bench-201 held-out cells, as a share of those before",
		Value: math.Round(1e4*e.Max.MAdds/max(e.MAdds, 1)) / 100, Unit: "%",
	})
}

// spread returns the mean and the standard deviation over seeds of the headroom
// that the most probable transformations capture.
func spread(seeds []heldOut, d int) (mean, deviation float64) {
	for _, s := range seeds {
		mean += s[0][d].Max.Captured / float64(len(seeds))
	}
	for _, s := range seeds {
		deviation += (s[0][d].Max.Captured - mean) * (s[0][d].Max.Captured - mean) / float64(max(len(seeds)-1, 1))
	}
	return mean, math.Sqrt(deviation)
}
