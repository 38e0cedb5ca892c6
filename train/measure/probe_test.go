package measure

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
)

func TestProbesAreStandardNormalAndSeeded(t *testing.T) {
	a := probes(7, 100, []int{3, 32, 32})
	var sum, squares float64
	for _, v := range a {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := float64(len(a))
	if mean, variance := sum/n, squares/n; math.Abs(mean) > 0.01 || math.Abs(variance-1) > 0.01 {
		t.Errorf("mean %v, variance %v", mean, variance)
	}
	if !slices.Equal(a, probes(7, 100, []int{3, 32, 32})) || slices.Equal(a, probes(8, 100, []int{3, 32, 32})) {
		t.Error("probes are not decided by the seed")
	}
}

func TestDriftedComparesOnTheSameProbes(t *testing.T) {
	// The first network that is opened gives the pixel for every class, the
	// second one half more for each class.
	var opened atomic.Int32
	o := Options{Runtime: fake{classes: 10, opened: func(f *fake) {
		by := 0.5 * float32(opened.Add(1)-1)
		f.score = func(first float32, class int) float32 { return first + by*float32(class) }
	}}}
	d, err := Drifted(context.Background(), tenClasses(t, onnxgraph.Const(1), 10), tenClasses(t, onnxgraph.Symbol("n"), 10), 5, 3, o)
	if err != nil {
		t.Fatal(err)
	}
	if d.Inputs != 5 || math.Abs(d.MaxAbs-4.5) > 1e-6 || math.Abs(d.MeanAbs-2.25) > 1e-6 || !d.Classifies || d.Output != "y" {
		t.Errorf("%+v", d)
	}
}

// A size that is open, and one that no machine has, are refusals with a name.
func TestProbesNeedASize(t *testing.T) {
	for name, dim := range map[string]onnxgraph.Dim{"open": onnxgraph.Symbol("height"), "too large": onnxgraph.Const(1 << 40), "empty": onnxgraph.Const(0)} {
		m := &Model{Path: "net.onnx"}
		m.Input.Name, m.Input.Shape = "x", onnxgraph.Shape{onnxgraph.Const(1), dim, onnxgraph.Const(3)}
		if _, err := m.probeShape(2); err == nil || !strings.Contains(err.Error(), `net.onnx: input "x"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPercentilesAreNearestRank(t *testing.T) {
	list := make([]time.Duration, 200)
	for i := range list {
		list[i] = time.Duration(200 - i)
	}
	l := summary(list, 1, 2)
	if l.Min != 1 || l.Median != 100 || l.P90 != 180 || l.P99 != 198 || l.Mean != 100 || l.Runs != 200 {
		t.Errorf("%+v", l)
	}
	if l := summary([]time.Duration{5}, 1, 2); l.Median != 5 || l.P99 != 5 {
		t.Errorf("%+v", l)
	}
}

func TestTimedStopsAtTheLimit(t *testing.T) {
	slow := fake{classes: 10, score: func(float32, int) float32 { time.Sleep(100 * time.Microsecond); return 0 }}
	l, err := Timed(context.Background(), tenClasses(t, onnxgraph.Symbol("n"), 10), LatencyOptions{Batch: 2, Runs: 1000, Limit: time.Nanosecond}, Options{Runtime: slow, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if l.Runs != fewest || l.Batch != 2 || l.Workers != 2 || l.Min < 2*time.Millisecond || l.Median < l.Min || l.P90 < l.Median {
		t.Errorf("%+v", l)
	}
	l, err = Timed(context.Background(), tenClasses(t, onnxgraph.Const(1), 10), LatencyOptions{Batch: 2, Runs: 5}, Options{Runtime: slow})
	if err != nil {
		t.Fatal(err)
	}
	if l.Runs != 5 || l.Batch != 1 {
		t.Errorf("%+v", l)
	}
}
