package supernet_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/epochs"
	"github.com/natonnx/natonnx/train/supernet"
)

func shapes(t testing.TB, n int) *dataset.Dataset {
	t.Helper()
	d, err := dataset.Open(dataset.Shapes+"train", dataset.Preprocess{Size: dataset.Size{H: 8, W: 8}})
	if err != nil {
		t.Fatal(err)
	}
	return d.First(n)
}

func small(t testing.TB) supernet.Options {
	return supernet.Options{
		Images: shapes(t, 200), Share: 0.18, Held: 0.65, Channels: 2, Layers: 3, Batch: 16, Epochs: 2, Nulls: 0.4, Seed: 7,
		Policy: train.Options{Network: train.GCN(4, 4, 2), Samples: 2},
	}
}

// run returns what each step reported, and the last state.
func run(t *testing.T, o supernet.Options, stop int) (steps []supernet.Progress, state []byte) {
	t.Helper()
	stopped := errors.New("stopped")
	var s *supernet.Search
	o.Report = func(p supernet.Progress) error {
		steps = append(steps, p)
		if p.Done == stop || p.Done == p.Of {
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(s.State()); err != nil {
				t.Fatal(err)
			}
			state = b.Bytes()
		}
		if p.Done == stop {
			return stopped
		}
		return nil
	}
	var err error
	if s, err = supernet.New(o); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err != nil && !errors.Is(err, stopped) {
		t.Fatal(err)
	}
	return steps, state
}

// A search that was stopped at any step, and went on, ends as one that was not.
func TestSearchGoesOnBitExactly(t *testing.T) {
	whole, _ := run(t, small(t), 0)
	if len(whole) != 8 {
		t.Fatalf("%d steps, want 2 epochs of 2 for the weights and 2 for the policy", len(whole))
	}
	for stop := 1; stop < len(whole); stop++ {
		_, saved := run(t, small(t), stop)
		o := small(t)
		o.Resume = new(supernet.State)
		if err := gob.NewDecoder(bytes.NewReader(saved)).Decode(o.Resume); err != nil {
			t.Fatal(err)
		}
		rest, _ := run(t, o, 0)
		for i, p := range rest {
			if w := whole[stop+i]; p.Loss != w.Loss || p.Update != w.Update || p.Accuracy != w.Accuracy || p.Done != w.Done || (p.Point == nil) != (w.Point == nil) || p.Point != nil && *p.Point != *w.Point {
				t.Fatalf("stopped after %d, step %d is %+v, want %+v", stop, p.Done, p, w)
			}
		}
	}
}

// A reward is a gain in accuracy where it is to be one, else another number.
func TestRewards(t *testing.T) {
	for _, byAccuracy := range []bool{false, true} {
		o := small(t)
		o.ByAccuracy = byAccuracy
		steps, _ := run(t, o, 0)
		other := 0
		for _, p := range steps {
			if math.Abs(p.Update.Reward-p.Gain) > 1e-12 {
				other++
			}
		}
		if byAccuracy && other > 0 || !byAccuracy && other == 0 {
			t.Errorf("by accuracy %v: %d rewards are not what was gained in accuracy", byAccuracy, other)
		}
	}
}

// Leads are paired: their means are differences of gains, their errors are what is left
// where architectures differ less in what is gained on them.
func TestExam(t *testing.T) {
	o := small(t)
	o.Images, o.Share, o.Held = shapes(t, 320), 0.1, 0.42
	s, err := supernet.New(o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Examine(t.Context(), supernet.Paper{Architectures: 12, Samples: 3, Chosen: 128, Images: 128})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct{ lead, policy, random supernet.Gain }{{e.Lead, e.Sampled, e.Random}, {e.BestLead, e.BestSampled, e.BestRandom}} {
		if math.Abs(l.lead.Mean-(l.policy.Mean-l.random.Mean)) > 1e-12 || l.lead.Error > l.policy.Error+l.random.Error {
			t.Errorf("lead %+v of %+v over %+v", l.lead, l.policy, l.random)
		}
	}
	if e.Before.Mean <= 0 || e.Before.Mean >= 1 || e.Sampled == (supernet.Gain{}) || e.Random == (supernet.Gain{}) || e.BestSampled == (supernet.Gain{}) || e.BestRandom == (supernet.Gain{}) {
		t.Errorf("%+v: want an accuracy, and transformations that change it", e)
	}
}

// A child learns a batch by heart, and so does what it shares with another child.
func TestChildrenLearnTogether(t *testing.T) {
	images := shapes(t, 32)
	b := epochs.Batch{Shape: images.Shape()}
	for i := range images.Len() {
		x := make([]float32, 3*8*8)
		if err := images.Read(i, x); err != nil {
			t.Fatal(err)
		}
		b.Images, b.Labels = append(b.Images, x...), append(b.Labels, images.Label(i))
	}
	n := supernet.NewNet(stack.Supernet{Channels: 8, Layers: 3, Classes: 10, Size: 8}, 0.9, 3e-4)
	rng := rand.New(rand.NewPCG(1, 1))
	g := supernet.Spaces[0].Draw(rng, 0)
	sibling := g
	sibling.Normal.Edges = slices.Clone(g.Normal.Edges)
	sibling.Normal.Edges[0].Op = cellmap.Skip
	before, err := n.Judge(t.Context(), sibling, b)
	if err != nil {
		t.Fatal(err)
	}
	own, err := n.Judge(t.Context(), g, b)
	if err != nil {
		t.Fatal(err)
	}
	var first, last float64
	for step := range 60 {
		if last, err = n.Step(t.Context(), g, b, 0.02); err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			first = last
		}
	}
	if math.Abs(own.Likelihood+first) > 1e-6 {
		t.Errorf("log-likelihood %v, want minus the loss before the first step, %v", own.Likelihood, first)
	}
	after, err := n.Judge(t.Context(), sibling, b)
	if err != nil {
		t.Fatal(err)
	}
	if !(last < first/4) || after.Accuracy < before.Accuracy+0.2 {
		t.Errorf("loss %v, then %v; the sibling was %+v, then %+v", first, last, before, after)
	}
}

func TestRefusals(t *testing.T) {
	for want, change := range map[string]func(*supernet.Options){
		"there are none":                                       func(o *supernet.Options) { o.Images = nil },
		"200 images are too few":                               func(o *supernet.Options) { o.Batch = 37 },
		"a share of 1 of the operations null":                  func(o *supernet.Options) { o.Nulls = 1 },
		"shares of 0.4 of the images for the weights and 0.6 ": func(o *supernet.Options) { o.Share, o.Held = 0.4, 0.6 },
	} {
		o := small(t)
		change(&o)
		if _, err := supernet.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// Weights that are lost are an error, not an end.
func TestDivergence(t *testing.T) {
	o := small(t)
	o.WeightRate, o.Epochs = 1e30, 3
	s, err := supernet.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "diverged at rate 1e+30") {
		t.Errorf("error %v", err)
	}
}

// Null is drawn as often as it is asked for, everything else uniformly.
func TestDraw(t *testing.T) {
	const draws = 2000
	for _, space := range supernet.Spaces {
		for _, nulls := range []float64{0, 0.4} {
			rng := rand.New(rand.NewPCG(2, 1))
			counts, edges := map[cellmap.Op]float64{}, 0.0
			for range draws {
				g := space.Draw(rng, nulls)
				for _, e := range append(g.Normal.Edges, g.Reduce.Edges...) {
					counts[e.Op]++
					edges++
				}
			}
			for _, op := range space.Ops {
				want := (1 - nulls) / float64(len(space.Ops)-1)
				if op == cellmap.Null {
					want = nulls
				}
				if got := counts[op] / edges; math.Abs(got-want) > 5*math.Sqrt(want/edges) {
					t.Errorf("%s, %v null: a share of %v is %s, want %v", space.Name, nulls, got, op, want)
				}
			}
		}
	}
}
