package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
	tradepage "github.com/natonnx/natonnx/train/compress/page"
	"github.com/urfave/cli/v2"
)

// A tradeoff is the files that show, or are, other networks than the one that was
// chosen.
type tradeoff struct {
	curve  string // "": none
	format tradepage.Format
	dir    string // of points; "": none
	stem   string // of their names
	points []pointFact
	// skipped says why asked for points were not written.
	skipped string
}

// A pointFact is a network of the front that was written.
type pointFact struct {
	File         string `json:"file"`
	MultiplyAdds int64  `json:"multiply_adds"`
}

func readTradeoff(c *cli.Context, in string) (*tradeoff, error) {
	x := &tradeoff{curve: c.String("pareto"), stem: strings.TrimSuffix(filepath.Base(in), ".onnx")}
	if in == stdio {
		x.stem = "model"
	}
	if c.IsSet("pareto") {
		var ok bool
		if x.format, ok = tradepage.FormatOf(x.curve); !ok {
			return nil, usagef("--pareto %s: want a name that ends in .csv, .svg or .html", x.curve)
		}
	}
	if !hasFlag(c, "points") {
		return x, nil
	}
	if x.dir = c.String("points"); x.dir == "" {
		if c.IsSet("points") {
			return nil, usagef("--points: the name of the folder is empty")
		}
		return x, nil
	}
	entries, err := os.ReadDir(x.dir)
	switch {
	case os.IsNotExist(err):
		return x, nil
	case err != nil:
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), x.stem+"-") && strings.HasSuffix(e.Name(), ".onnx") && !c.Bool("force") {
			return nil, &usageError{fmt.Sprintf("--points %s: holds points already: %s", x.dir, e.Name()), "name another folder, or add --force to replace those of the same names"}
		}
	}
	return x, nil
}

// probe is a name in the folder that points go to, or in the first above it that
// is there.
func (x *tradeoff) probe() string {
	if x.dir == "" {
		return ""
	}
	dir := filepath.Clean(x.dir)
	for !exists(dir) && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, x.stem+"-100.onnx")
}

// writeCurve writes the trade-off, with that of other searches to compare with.
func (x *tradeoff) writeCurve(k *compression, results ...*compress.Result) error {
	if x.curve == "" || len(results) == 0 || results[0] == nil {
		return nil
	}
	r := results[0]
	c := &tradepage.Curve{
		Version: version, Model: k.path, Data: fmt.Sprintf("%s (%s)", k.used.Path, legible.Plural(k.used.Samples, "sample")), Search: r.Search, Input: r.Before, Points: pointsOn(r),
		Notes: []string{"The chosen network was fitted on all pictures, the others on as many as the search takes."},
	}
	if r.Before.Cost.Latency > 0 {
		c.Runtime = k.opt.Runtime.Name()
	}
	for _, other := range results[1:] {
		c.Rivals = append(c.Rivals, tradepage.Rival{Name: other.Search, Points: pointsOn(other)})
	}
	var b bytes.Buffer
	if err := tradepage.Write(&b, x.format, c); err != nil {
		return err
	}
	return onnxgraph.WriteFile(x.curve, b.Bytes())
}

// pointsOn are all networks that were tried but for the input, the chosen one as
// it was measured last.
func pointsOn(r *compress.Result) []compress.Point {
	list := slices.Clone(r.Candidates[1:])
	for i, p := range list {
		if slices.Equal(p.Moves, r.Chosen.Moves) {
			list[i] = r.Chosen
		}
	}
	return list
}

// writePoints writes each network of the front as a model whose name says what it
// costs: in percent of the input's multiply-adds.
func (x *tradeoff) writePoints(ctx context.Context, k *compression) error {
	switch {
	case x.dir == "":
		return nil
	case k.result == nil:
		x.skipped = "there are none"
		return nil
	}
	if err := os.MkdirAll(x.dir, 0o777); err != nil {
		return err
	}
	used := map[string]int{}
	for n, i := range k.result.Front {
		p := k.result.Candidates[i]
		if len(p.Moves) == 0 {
			continue
		}
		if ctx.Err() != nil {
			x.skipped = "interrupted"
			break
		}
		k.shown.show(fmt.Sprintf("writing point %d of %d", n+1, len(k.result.Front)))
		name := fmt.Sprintf("%s-%03.0f", x.stem, 100*float64(p.Cost.MAdds)/float64(max(1, k.result.Before.Cost.MAdds)))
		if used[name]++; used[name] > 1 {
			name += fmt.Sprintf("-%d", used[name])
		}
		path := filepath.Join(x.dir, name+".onnx")
		if err := k.writePoint(context.WithoutCancel(ctx), i, path); err != nil {
			return err
		}
		x.points = append(x.points, pointFact{path, p.Cost.MAdds})
	}
	k.shown.end()
	return nil
}

func (x *compression) writePoint(ctx context.Context, i int, path string) error {
	r, err := x.result.Point(ctx, i)
	if err != nil {
		return err
	}
	m, err := x.stamped(r)
	if err != nil {
		return err
	}
	return save(ctx, m, path)
}
