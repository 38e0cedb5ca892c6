package train

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// PolicyOptions say how [Policy] trains. Zero numbers take the values in brackets.
type PolicyOptions struct {
	Data      string // the NAS-Bench-201 table, as [OpenTable] reads it
	Name      string // of the policy [nat-gcn]
	Seed      uint64
	Seeds     int // how many policies to train, with Seed, Seed+1, ...; the best is kept [3]
	Steps     int // per policy [8000]
	Published bool
	// Progress, if set, is called every now and then.
	Progress func(PolicyProgress)
	Log      io.Writer // if set, receives the progress as CSV
}

// PolicyProgress is the state of [Policy] after Step of Steps, with one of its seeds.
type PolicyProgress struct {
	Progress
	Seed   uint64
	Steps  int
	Choose Evaluation // on the cells that choose, CIFAR-10
}

const (
	defaultSeeds = 3
	reportEvery  = 500 // steps between questions to the cells that choose
)

// Policy trains a policy on NAS-Bench-201: REINFORCE on CIFAR-10 accuracies, on
// the training cells of [Table.Split]. Of all seeds and reported steps it keeps
// the one whose most probable transformations are the most accurate on the
// cells that choose, and scores it, and every seed, on the held-out cells. The
// result has its card and is rounded as in a file: the same options give the
// same bytes from [transformer.GCN.Encode], on the same kind of processor.
func Policy(ctx context.Context, o PolicyOptions) (*transformer.GCN, error) {
	o.Seeds, o.Steps, o.Name = cmp.Or(o.Seeds, defaultSeeds), cmp.Or(o.Steps, defaultSteps), cmp.Or(o.Name, transformer.DefaultPolicy)
	if o.Seeds < 1 {
		return nil, fmt.Errorf("%d seeds, want 1 or more", o.Seeds)
	}
	table, err := OpenTable(o.Data)
	if err != nil {
		return nil, err
	}
	run := &policyRun{PolicyOptions: o, table: table, split: table.Split()}
	if o.Log != nil {
		run.log = csv.NewWriter(o.Log)
		if err := run.write("seed", "step", "reward", "entropy", "baseline", "rate", "choose_accuracy", "choose_captured_percent"); err != nil {
			return nil, err
		}
	}
	var best candidate
	scores := make([]heldOut, o.Seeds)
	for i := range scores {
		c, err := run.train(ctx, o.Seed+uint64(i))
		if err != nil {
			return nil, err
		}
		for w := range scores[i] {
			if scores[i][w], err = Evaluate(ctx, c.policy, table, &Writings[w], run.split.HeldOut, c.seed); err != nil {
				return nil, err
			}
		}
		if best.policy == nil || c.accuracy > best.accuracy {
			best = c
			best.held = scores[i]
		}
	}
	return best.policy.Rounded(run.card(best, scores))
}

// scoredWritings is how many of [Writings], from the first, choose and score:
// operations in their sums, and all in nodes of their own.
const scoredWritings = 2

// heldOut are the scores of one policy on the held-out cells.
type heldOut [scoredWritings][Datasets]Evaluation

// A candidate is the best policy of one seed so far.
type candidate struct {
	policy   *transformer.GCN // weights rounded
	seed     uint64
	step     int
	accuracy float64 // on the cells that choose, mean over the scored writings
	held     heldOut
}

type policyRun struct {
	PolicyOptions
	table *Table
	split Split
	log   *csv.Writer
}

func (r *policyRun) options(seed uint64) Options {
	o := Options{Seed: seed, Steps: r.Steps, Published: r.Published, Every: reportEvery}
	o.defaults()
	return o
}

func (r *policyRun) train(ctx context.Context, seed uint64) (candidate, error) {
	var inputs []cellmap.Form
	for w := range Writings {
		for _, cell := range r.split.Train {
			inputs = append(inputs, Writings[w].Form(cell))
		}
	}
	var best candidate
	o := r.options(seed)
	o.Report = func(p Progress) error {
		g, err := transformer.NewGCN(transformer.Card{Name: r.Name, Rules: transformer.NAT.Name}, p.Params)
		if err != nil {
			return err
		}
		if g, err = g.Rounded(g.Card()); err != nil {
			return err
		}
		var choose [scoredWritings]Evaluation
		var accuracy float64
		for w := range choose {
			scores, err := Evaluate(ctx, g, r.table, &Writings[w], r.split.Choose, seed)
			if err != nil {
				return err
			}
			choose[w] = scores[CIFAR10]
			accuracy += choose[w].Max.Accuracy / scoredWritings
		}
		if best.policy == nil || accuracy > best.accuracy {
			best = candidate{policy: g, seed: seed, step: p.Step, accuracy: accuracy}
		}
		return r.report(PolicyProgress{Progress: p, Seed: seed, Steps: o.Steps, Choose: choose[0]})
	}
	_, err := Reinforce(ctx, inputs, TableReward{r.table, CIFAR10}, o)
	return best, err
}

func (r *policyRun) report(p PolicyProgress) error {
	if r.Progress != nil {
		r.Progress(p)
	}
	if r.log == nil {
		return nil
	}
	row := []string{strconv.FormatUint(p.Seed, 10), strconv.Itoa(p.Step)}
	for _, x := range []float64{p.Reward, p.Entropy, p.Baseline, p.Rate, p.Choose.Max.Accuracy, p.Choose.Max.Captured} {
		row = append(row, strconv.FormatFloat(x, 'g', 6, 64))
	}
	return r.write(row...)
}

func (r *policyRun) write(row ...string) error {
	if err := r.log.Write(row); err != nil {
		return err
	}
	r.log.Flush()
	return r.log.Error()
}

func (r *policyRun) card(best candidate, seeds []heldOut) transformer.Card {
	o := r.options(r.Seed)
	network := ""
	if r.Published {
		network = "network wired as the authors' code wires it; "
	}
	return transformer.Card{
		Name: r.Name, Kind: "gcn", Rules: transformer.NAT.Name, Seed: r.Seed, Command: r.command(),
		Training: fmt.Sprintf("REINFORCE on the table of NAS-Bench-201 (sha256 %.12s), CIFAR-10 only: reward test accuracy after minus before, "+
			"as fractions of 1; as inputs, %d cells train, %d choose and %d are held out, cells that are one network in one part "+
			"(rewards look up what inputs become, which may be any cell); every cell in %d writings, which take turns; "+
			"%s%d features per embedding, %d per node; %d steps of %d cells with %d samples each, Adam at %v and entropy weight %v, both falling to 0 along a cosine; "+
			"of seeds %d to %d the best on the cells that choose: seed %d at step %d; not measured on other networks",
			r.table.digest, len(r.split.Train), len(r.split.Choose), len(r.split.HeldOut), len(Writings),
			network, o.Embed, o.Hidden, o.Steps, o.Batch, o.Samples, o.Rate, o.Entropy,
			r.Seed, r.Seed+uint64(len(seeds))-1, best.seed, best.step),
		Scores: cardScores(best.held, seeds),
	}
}

// command is what to type to train the policy again.
func (r *policyRun) command() string {
	s := "natonnx train policy --data " + filepath.Base(r.Data)
	for _, f := range []struct {
		flag       string
		value, def int
	}{{"steps", r.Steps, defaultSteps}, {"seeds", r.Seeds, defaultSeeds}} {
		if f.value != f.def {
			s += fmt.Sprintf(" --%s %d", f.flag, f.value)
		}
	}
	if r.Published {
		s += " --published"
	}
	return fmt.Sprintf("%s --seed %d -o %s.onnx", s, r.Seed, r.Name)
}

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
		add("captured headroom, most probable transformation", e.Max.Captured)
		add("captured headroom, most probable of 10 samples", e.Sampled.Captured)
		add("cells made worse, most probable transformation", e.Max.Worse)
		add("cells made worse, most probable of 10 samples", e.Sampled.Worse)
		add("captured headroom, operations in nodes of their own", kept[1][d].Max.Captured)
		mean, deviation := spread(seeds, d)
		add(fmt.Sprintf("captured headroom, mean of %d seeds", len(seeds)), mean)
		if len(seeds) > 1 {
			add(fmt.Sprintf("captured headroom, standard deviation over %d seeds", len(seeds)), deviation)
		}
	}
	return scores
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
