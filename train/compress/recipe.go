package compress

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
)

// A Recipe is all that a result follows from, beside the network, the images
// and the instruction set: what Replay needs.
type Recipe struct {
	Steps   []Step
	Split   Split
	Apart   bool // the guard had images of its own
	Distill int  // epochs
	Cut     bool // the distillation was cut short: this cannot be replayed
	Seed    uint64
}

// A Step is what was done to one operation of one cell.
type Step struct {
	Cell     string `json:"cell"`
	Node     int    `json:"node"` // -2 and -1 are the cell's inputs
	Slot     int    `json:"slot"`
	From     string `json:"from"`
	To       string `json:"to"`
	Recovery string `json:"recovery"`
	// Kept is how many of the operation's channels are left, of how many; 0: all.
	Kept int `json:"kept,omitempty"`
	Of   int `json:"of,omitempty"`
}

func (c *compression) recipe(taken []int) Recipe {
	r := Recipe{Split: c.split, Apart: c.Guard != nil, Distill: c.Distill, Seed: c.Seed}
	r.Split.Guard = c.guard.Len()
	for _, ch := range c.choices(taken) {
		r.Steps = append(r.Steps, c.steps(ch)...)
	}
	return r
}

func (n *network) steps(ch choice) (all []Step) {
	cell := n.file.Cells[ch.site.cell]
	for i, id := range ch.option.moves {
		m := cellmap.Move{Cell: cell, Edge: id, To: ch.option.to[i]}
		all = append(all, Step{Cell: cell.Name, Node: cellmap.Label(id.Node), Slot: id.Slot, From: string(m.Old().Op), To: string(m.To), Recovery: ch.option.form.String()})
	}
	for _, w := range ch.option.narrow {
		op := string(cellmap.Move{Cell: cell, Edge: w.Maker}.Old().Op)
		all = append(all, Step{cell.Name, cellmap.Label(w.Maker.Node), w.Maker.Slot, op, op, ch.option.form.String(), w.keep, w.Count})
	}
	return all
}

// choice finds the options that steps took.
func (n *network) choice(steps []Step) ([]int, error) {
	taken := make([]int, len(n.sites))
	left := slices.Clone(steps)
	for i := range n.sites {
		s := &n.sites[i]
		for k := range s.options {
			if k == 0 {
				continue
			}
			want := n.steps(choice{s, &s.options[k], k})
			if at := slices.Index(left, want[0]); at >= 0 && at+len(want) <= len(left) && slices.Equal(left[at:at+len(want)], want) {
				taken[i] = k
				left = slices.Delete(left, at, at+len(want))
				break
			}
		}
	}
	if len(left) > 0 {
		s := left[0]
		return nil, fmt.Errorf("there is no place for this step: cell %s, node %d: %s -> %s (%s)", s.Cell, s.Node, s.From, s.To, s.Recovery)
	}
	return taken, nil
}

// ErrCut says that a recipe cannot be replayed.
var ErrCut = errors.New("the distillation was cut short, and where is not known")

// Replay makes the network of a recipe again, from the same images. On the same
// instruction set the weights are the same to the last bit. Of the options
// Workers, Memory and Progress count.
func Replay(ctx context.Context, m *onnxgraph.Model, images *dataset.Dataset, r Recipe, o Options) (*onnxgraph.Model, error) {
	if r.Cut {
		return nil, ErrCut
	}
	o.Seed, o.Distill = r.Seed, r.Distill
	if r.Apart {
		o.Guard = images
	}
	c, err := prepare(ctx, m, images, o)
	if err != nil {
		return nil, err
	}
	got := c.split
	got.Guard = r.Split.Guard
	if got != r.Split || !r.Apart && c.guard.Len() != r.Split.Guard {
		return nil, unusable("%d images are used to fit, hold back and rank (%d, %d, %d), want %d, %d, %d", c.images.Len(),
			got.Fit, got.Held, got.Rank, r.Split.Fit, r.Split.Held, r.Split.Rank)
	}
	taken, err := c.choice(r.Steps)
	if err != nil {
		return nil, &NetworkError{fmt.Errorf("%s: %w", m.Path, err)}
	}
	again := &Result{Recipe: r}
	if again.Model, _, err = c.settle(ctx, taken); err != nil {
		return nil, err
	}
	if err := c.distill(ctx, again); err != nil {
		return nil, err
	}
	return again.Model, ctx.Err()
}
