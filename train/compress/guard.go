package compress

import (
	"context"
	"fmt"
	"runtime"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/measure"
)

// A Verdict is what the guard found on images that neither the search nor any
// fit has seen.
type Verdict struct {
	Evaluation *measure.Evaluation // of the result, against the network as it was
	// Drop is what was lost, in percentage points: of accuracy where there are
	// labels, else what agreement lacks to 100 %.
	Drop    float64
	MaxDrop float64
	Labels  bool
}

// Passed reports whether no more was lost than allowed.
func (v Verdict) Passed() bool { return v.Drop <= v.MaxDrop+1e-9 }

// judge compares the result with the network as it was.
func (c *compression) judge(ctx context.Context, m *onnxgraph.Model) (Verdict, error) {
	o := measure.Options{Runtime: c.Runtime, Workers: c.Workers, Memory: 0}
	was, err := measure.Open(ctx, c.model, o)
	if err != nil {
		return Verdict{}, err
	}
	defer was.Close()
	is, err := measure.Open(ctx, m, o)
	if err != nil {
		return Verdict{}, err
	}
	defer is.Close()
	e, err := measure.Evaluate(ctx, is, was, c.guard, measure.EvaluateOptions{Progress: func(done, of int) {
		c.Progress(Progress{Stage: "judging", Done: done, Of: of})
	}})
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Evaluation: e, MaxDrop: c.MaxDrop}
	if e.Accuracy != nil && e.Against.Accuracy != nil {
		v.Labels = true
		v.Drop = 100 * (e.Against.Accuracy.Top1.Value() - e.Accuracy.Top1.Value())
		return v, nil
	}
	v.Drop = 100 * (1 - e.Against.Agreement.Value())
	return v, nil
}

func workers(n int) int {
	if n <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}

// describe writes a choice as people read it.
func (n *network) describe(ch choice) string {
	c := n.file.Cells[ch.site.cell]
	s := ""
	for i, id := range ch.option.moves {
		if i > 0 {
			s += ", "
		}
		s += cellmap.Move{Cell: c, Edge: id, To: ch.option.to[i]}.String()
	}
	for i, w := range ch.option.narrow {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s: node %d: %d of %d channels", c.Name, cellmap.Label(w.Maker.Node), w.keep, w.Count)
	}
	return s + " (" + ch.option.form.String() + ")"
}
