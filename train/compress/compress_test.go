package compress

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/measure"
	"github.com/natonnx/natonnx/train/refit"
)

const cifarStatistics = "mean=0.485,0.456,0.406;std=0.229,0.224,0.225"

// pictures are images that fit the CIFAR-10 networks; any will do for tests of
// what is computed, as opposed to how well.
func pictures(t *testing.T, n int) *dataset.Dataset {
	t.Helper()
	p, err := dataset.ParsePreprocess(cifarStatistics)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Open(corpus.Need(t, "data", "cifar10", "lossless_val517.bin"), p.ForInput(32, 32))
	if err != nil {
		t.Fatal(err)
	}
	return d.First(n)
}

func openModel(t *testing.T, parts ...string) *onnxgraph.Model {
	t.Helper()
	m, err := onnxgraph.Open(corpus.Need(t, append([]string{"models"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func resnet20(t *testing.T) *onnxgraph.Model {
	return openModel(t, "cifar10", "ace_resnet20_cifar10_pre.onnx")
}

// slow skips a test that is too slow under the race detector.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long; leave out -short")
	}
}

// small prepares a recoverer on a few images.
func small(t *testing.T, m *onnxgraph.Model, images *dataset.Dataset, split Split) *recoverer {
	t.Helper()
	n, err := newNetwork(m)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	v, err := load(ctx, images, split.Fit+split.Held+split.Rank, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRecoverer(ctx, n, v, split, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.fitter.Quick = true
	return r
}

// TestOptionsOfResNet20 checks the ways to write a block against what a person
// counts: half a block is one of its two convolutions, and three forms are for
// a block that is gone.
func TestOptionsOfResNet20(t *testing.T) {
	n, err := newNetwork(resnet20(t))
	if err != nil {
		t.Fatal(err)
	}
	const block = 2 * 16 * 16 * 9 * 32 * 32 // multiply-adds of a block of the first stage
	var got []string
	for _, o := range n.sites[1].options[1:] {
		got = append(got, fmt.Sprintf("%v %d", o.form, n.cost.MAdds-o.madds))
	}
	want := []string{
		fmt.Sprint("refitted ", block/2), fmt.Sprint("folded ", block),
		fmt.Sprint("scale ", block-16*32*32), fmt.Sprint("pointwise ", block-16*16*32*32), fmt.Sprint("folded, pointwise ", block-16*16*32*32),
	}
	if !slices.Equal(got, want) {
		t.Errorf("layer1.1 can be written as %v, want %v", got, want)
	}
	got = nil // of a block of the last stage, with 64 channels, that cost as much
	for _, o := range n.sites[8].options {
		if o.form == narrowed {
			got = append(got, fmt.Sprintf("%d of %d %d", o.narrow[0].keep, o.narrow[0].Count, n.cost.MAdds-o.madds))
		}
	}
	if want := []string{fmt.Sprint("48 of 64 ", block/4), fmt.Sprint("32 of 64 ", block/2), fmt.Sprint("16 of 64 ", block/4*3)}; !slices.Equal(got, want) {
		t.Errorf("layer3.2 can be narrowed to %v, want %v", got, want)
	}
	if len(n.sites) != 9 {
		t.Errorf("%d cells can be written otherwise, want all 9", len(n.sites))
	}
}

// TestRecoveredIsWhatIsWritten runs the written file, whose batch is fixed, and
// compares with what the search saw, for each form, alone and in a row.
func TestRecoveredIsWhatIsWritten(t *testing.T) {
	slow(t)
	for _, path := range [][]string{{"cifar10", "ace_resnet20_cifar10_pre.onnx"}, {"cifar10", "amandashi95_resnet20.onnx"}} {
		m := openModel(t, path...)
		r := small(t, m, pictures(t, 24), Split{Fit: 16, Held: 4, Rank: 4})
		pick := func(at int, f form, skip bool) choice {
			s := &r.sites[at]
			for k := range s.options[1:] {
				o := &s.options[k+1]
				if o.form == f && (len(o.moves) > 0 && o.to[0] == "skip_connect") == skip {
					return choice{s, o, k + 1}
				}
			}
			t.Fatalf("%s: cell %d has no option %v", m.Path, at, f)
			return choice{}
		}
		c := &compression{network: r.network, model: m}
		for name, choices := range map[string][]choice{
			"half":           {pick(1, refitted, true)},
			"folded":         {pick(1, folded, false)},
			"scale":          {pick(2, scaled, false)},
			"pointwise":      {pick(4, pointwise, false)},
			"two folded":     {pick(1, folded, false), pick(2, folded, false)},
			"all kinds":      {pick(0, folded, false), pick(1, pointwise, false), pick(2, folded, false), pick(4, refitted, true), pick(5, scaled, false), pick(6, narrowed, false), pick(8, folded, false)},
			"narrowed":       {pick(7, narrowed, false)},
			"without branch": {pick(3, refitted, false)},
		} {
			for _, how := range []reach{ends, whole} {
				if how == whole && name != "all kinds" {
					continue
				}
				out, err := r.recover(context.Background(), choices, how)
				if err != nil {
					t.Fatalf("%s: %s: %v", m.Path, name, err)
				}
				taken := make([]int, len(r.sites))
				for _, ch := range choices {
					taken[slices.IndexFunc(r.sites, func(s site) bool { return s.cell == ch.site.cell })] = ch.number
				}
				file, err := c.write(taken, out.fits)
				if err != nil {
					t.Fatalf("%s: %s: %v", m.Path, name, err)
				}
				sameOutputs(t, m.Path+": "+name, file, r.original[0], out.value)
			}
		}
	}
}

func sameOutputs(t *testing.T, what string, file *onnxgraph.Model, images, want *refit.Value) {
	t.Helper()
	if err := file.Validate(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	path := filepath.Join(t.TempDir(), "out.onnx")
	if err := file.Save(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	back, err := onnxgraph.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	run, err := measure.Open(context.Background(), back, measure.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	got, err := run.Run(context.Background(), images.Data, images.Dims)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range got {
		for k, v := range row {
			if w := want.Slice(i, i+1).Data[k]; math.Abs(float64(v-w)) > 1e-3*max(1, math.Abs(float64(w))) {
				t.Fatalf("%s: image %d, output %d: the file gives %g, the search saw %g", what, i, k, v, w)
			}
		}
	}
}

// TestFoldingBeatsRemoving checks the point of a recovery: what a block did is
// made up for to a good part. Removing alone is the fit with no freedom.
func TestFoldingBeatsRemoving(t *testing.T) {
	slow(t)
	r := small(t, resnet20(t), pictures(t, 250), Split{Fit: 150, Held: 30, Rank: 70})
	s := &r.sites[1]
	folding := choice{s, &s.options[2], 2}
	out, err := r.recover(context.Background(), []choice{folding}, ends)
	if err != nil {
		t.Fatal(err)
	}
	fitted, _ := divergence(r.output(), out.value, 180)
	bare, err := r.fitter.Advance(context.Background(), removed(t, r, folding), r.cuts[0], r.cuts[len(r.cuts)-1], r.original[0])
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := divergence(r.output(), bare, 180)
	if fitted > plain/4 {
		t.Errorf("divergence %g with recovery and %g without, want a quarter or less", fitted, plain)
	}
}

func removed(t *testing.T, r *recoverer, ch choice) *onnxgraph.Model {
	m, _, err := r.lower(r.loose, []choice{ch})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestCacheChangesNothing evaluates candidates that begin alike, with what
// earlier ones left behind and without.
func TestCacheChangesNothing(t *testing.T) {
	slow(t)
	m, images := resnet20(t), pictures(t, 32)
	split := Split{Fit: 20, Held: 6, Rank: 6}
	warm := small(t, m, images, split)
	for _, list := range [][]int{{2, 5}, {2, 5, 8}, {2, 4, 5}, {2, 5, 7}} {
		var a, b []choice
		cold := small(t, m, images, split)
		for _, at := range list {
			a = append(a, choice{&warm.sites[at], &warm.sites[at].options[2], 2})
			b = append(b, choice{&cold.sites[at], &cold.sites[at].options[2], 2})
		}
		x, err := warm.recover(context.Background(), a, ends)
		if err != nil {
			t.Fatal(err)
		}
		y, err := cold.recover(context.Background(), b, ends)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(x.value.Data, y.value.Data) {
			t.Errorf("cells %v: the outputs are others after other candidates", list)
		}
	}
}

// TestReplayGivesTheSameBytes compresses twice, on one worker and on two, and
// replays the recipe.
func TestReplayGivesTheSameBytes(t *testing.T) {
	slow(t)
	m, images := resnet20(t), pictures(t, 100)
	o := Options{Search: "greedy", Evals: 6, Seed: 3, MAdds: m.Cost(m.Infer()).MAdds * 85 / 100, MaxDrop: 100}
	bytes := func(m *onnxgraph.Model) string {
		var b strings.Builder
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var first string
	var recipe Recipe
	for _, workers := range []int{2, 1} {
		o.Workers = workers
		r, err := Run(context.Background(), m, images, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Chosen.Cost.MAdds > o.MAdds {
			t.Errorf("%d multiply-adds, want %d or less", r.Chosen.Cost.MAdds, o.MAdds)
		}
		if first == "" {
			first, recipe = bytes(r.Model), r.Recipe
		} else if bytes(r.Model) != first {
			t.Errorf("%d workers give other bytes", workers)
		}
	}
	again, err := Replay(context.Background(), m, images, recipe, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if bytes(again) != first {
		t.Error("the replay gives other bytes")
	}
}

func TestTooFewImages(t *testing.T) {
	_, err := Run(context.Background(), resnet20(t), pictures(t, 1), Options{})
	if err == nil || !strings.Contains(err.Error(), "hold 1 image, too few") {
		t.Errorf("error %v, want one that says how many images there must be", err)
	}
}
