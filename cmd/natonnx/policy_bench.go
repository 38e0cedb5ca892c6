package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/natonnx/natonnx/internal/typo"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/train/policybench"
	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

func (t *tool) benchPoliciesCommand() *cli.Command {
	return &cli.Command{
		Name:      "bench",
		Usage:     "judge policies and rivals against the known optimum",
		ArgsUsage: "--data TABLE.csv",
		Description: "TABLE.csv is the table of NAS-Bench-201 that natonnx train policy takes. Since it has the accuracy of every cell, it tells what the best " +
			"transformation of a cell gains, and how much of that a policy captures. Cells that are held out are judged: natonnx trains no policy on them, and chooses none by them.\n\n" +
			"Some rivals, and policies whose candidates are ranked, look candidates up in the table: their test accuracy on CIFAR-10, as the paper ranks. That is asking " +
			"for the result of training each of them. The figures on CIFAR-100 and ImageNet16-120 tell how far decisions made on CIFAR-10 carry.\n\n" +
			"A policy decides by its most probable transformation, or by the most probable of 10 samples and the input; with look-ups, by the best of 10 samples, drawn at a " +
			"temperature that other cells chose, or by the best of a top 10: the input and its nine most probable transformations. As lifted, cells are written the way natonnx finds those of real networks: which " +
			"way a cell is written changes no network, but what a policy reads. The fixed rule makes null of all but " +
			"convolutions on the edge from node 0 to node 1, and skips of all but convolutions elsewhere. Greedy gives one edge after the other its best operation; evolution " +
			"is regularized evolution among the transformations of the input.\n\n" +
			"An interruption ends the trainings; with --keep, those that are done are found again by the next run.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "data", Usage: "the `TABLE` of measured accuracies, in CSV"},
			&cli.StringSliceFlag{Name: "policy", Usage: "judge `POLICY`: a name of natonnx policy list, a policy file, or none; may be given several times; without it, all that are built in"},
			&cli.StringFlag{Name: "train", Usage: "train policies of these `KINDS` too, once for each seed: " + strings.Join(kindNames(), ", ") + ", separated by commas"},
			choiceFlag("rules", transformer.NAT.Name, "`RULES` say which moves exist: nat or nat++", transformer.NAT.Name, transformer.NATPlusPlus.Name),
			&cli.StringFlag{Name: "latency", Usage: "measure the latency too, by `FILE`, in CSV: a column arch and one for each device, in milliseconds"},
			&cli.StringFlag{Name: "device", Usage: "the `NAME` of a column of --latency"},
			countFlag("seeds", 5, 1, 1000, "train, and draw, with `N` seeds that follow each other"),
			countFlag("steps", 0, 1, math.MaxInt32, "update the weights of each policy that is trained `N` times; without it, as often as its kind takes"),
			seedFlag(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "draw the learning curves of --train to `OUT`, an .svg file"},
			&cli.StringFlag{Name: "keep", Usage: "keep what comes of each training in the folder `DIR`, and use what is there"},
			progressFlag(),
		},
		Action: t.benchPolicies,
	}
}

func kindNames() (names []string) {
	for _, k := range train.Kinds() {
		names = append(names, string(k))
	}
	return names
}

// A benchFact is what policy bench --json prints.
type benchFact struct {
	Schema schemaV1 `json:"schema_version"`
	*policybench.Result
	Output string `json:"output"` // the picture; "" for none
}

func (t *tool) benchPolicies(c *cli.Context) error {
	o, err := readBench(c)
	if err != nil {
		return err
	}
	out := c.String("output")
	if err := roomFor(out); err != nil {
		return err
	}
	shown := newProgress(t, choiceOf(c, "progress"))
	o.Progress = shown.benching
	r, err := policybench.Run(c.Context, *o)
	shown.end()
	if err != nil {
		return benchError(err)
	}
	if out != "" {
		var b bytes.Buffer
		if err := policybench.WriteCurves(&b, r.Curves); err != nil {
			return err
		}
		if err := onnxgraph.WriteFile(out, b.Bytes()); err != nil {
			return err
		}
	}
	if t.json {
		return t.writeJSON(benchFact{Result: r, Output: out})
	}
	p := t.page()
	(&benchReport{p, r}).print()
	if out != "" && !t.quiet {
		p.blank()
		p.text(0, "wrote %s", out)
	}
	return nil
}

// readBench reads what is to be judged; mistakes on the command line are found
// before files are read.
func readBench(c *cli.Context) (*policybench.Options, error) {
	if _, err := arguments(c, 0); err != nil {
		return nil, err
	}
	data, latency, device, out := c.String("data"), c.String("latency"), c.String("device"), c.String("output")
	rules, _ := transformer.RulesByName(choiceOf(c, "rules"))
	o := &policybench.Options{Rules: rules, Seed: countOf(c, "seed"), Seeds: int(countOf(c, "seeds")), Steps: int(countOf(c, "steps")), Keep: c.String("keep")}
	var err error
	if o.Kinds, err = readKinds(c); err != nil {
		return nil, err
	}
	switch {
	case data == "":
		return nil, &usageError{"policy bench: --data is missing", "it names the table of NAS-Bench-201; natonnx train policy --help says which columns it has"}
	case latency != "" && device == "":
		return nil, &usageError{"--latency: there is no --device", "it names a column of " + latency}
	case device != "" && latency == "":
		return nil, &usageError{"--device: there is no --latency", "it names the table that has a column for the device"}
	case c.IsSet("output") && !strings.HasSuffix(strings.ToLower(out), ".svg"):
		return nil, usagef("-o %s: want a name that ends in .svg", out)
	case out != "" && len(o.Kinds) == 0:
		return nil, &usageError{fmt.Sprintf("-o %s: there are no learning curves without --train", out), "add --train gcn, or leave -o out"}
	case c.IsSet("keep") && o.Keep == "":
		return nil, usagef("--keep: the name of the folder is empty")
	case o.Keep != "" && len(o.Kinds) == 0:
		return nil, &usageError{"--keep " + o.Keep + ": there is nothing to keep without --train", "add --train gcn, or leave --keep out"}
	}
	if o.Policies, err = contestants(c.StringSlice("policy"), rules); err != nil {
		return nil, err
	}
	if o.Table, err = train.OpenTable(data); err != nil {
		return nil, trainingError(err, data)
	}
	if latency == "" {
		return o, nil
	}
	if o.Latency, err = train.OpenLatency(latency, device); err != nil {
		return nil, trainingError(err, latency)
	}
	return o, nil
}

func readKinds(c *cli.Context) (list []train.Kind, err error) {
	if !c.IsSet("train") {
		return nil, nil
	}
	for _, name := range strings.Split(c.String("train"), ",") {
		kind := train.Kind(strings.TrimSpace(name))
		switch {
		case !slices.Contains(train.Kinds(), kind):
			err := usagef("--train %s: there is no kind %q", c.String("train"), name)
			err.hint = "the kinds are " + oneOf(kindNames())
			if near := typo.Nearest(string(kind), kindNames()); near != "" {
				err.hint = "did you mean " + near + "?"
			}
			return nil, err
		case slices.Contains(list, kind):
			return nil, usagef("--train %s: %s is there twice", c.String("train"), kind)
		}
		list = append(list, kind)
	}
	return list, nil
}

// contestants finds the policies that are named; without names, all that are
// built in for the rules.
func contestants(names []string, rules transformer.Rules) (list []policybench.Policy, err error) {
	if len(names) == 0 {
		for _, name := range transformer.Builtins() {
			p, err := transformer.Builtin(name)
			if err != nil {
				return nil, err
			}
			if p.Card().Rules == rules.Name {
				list = append(list, policybench.Policy{Name: name, Policy: p})
			}
		}
		return list, nil
	}
	for _, name := range names {
		p, err := openPolicy(name)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		if is := p.Card().Rules; is != rules.Name {
			return nil, &usageError{fmt.Sprintf("--policy %s: decides by the rules %s, and the bench is of %s", name, is, rules.Name), "judge it with --rules " + is}
		}
		list = append(list, policybench.Policy{Name: name, Policy: p})
	}
	return list, nil
}

func unknownDevice(e *train.ColumnError) error {
	devices := slices.DeleteFunc(e.Found, func(s string) bool { return s == "arch" })
	err := usagef("--device %s: %s has no such column", e.Column, e.File)
	err.hint = "the devices are " + strings.Join(devices, ", ")
	if near := typo.Nearest(e.Column, devices); near != "" {
		err.hint = "did you mean " + near + "?"
	}
	return err
}

// benchError marks a fault of what was kept as one of a file.
func benchError(err error) error {
	var kept *policybench.KeptError
	if errors.As(err, &kept) {
		return &ioError{err}
	}
	return err
}

// benching shows how far a bench is.
func (p *progress) benching(s policybench.Progress) {
	if s.Kind == "" {
		p.show("judging " + s.Judging)
		return
	}
	p.show(fmt.Sprintf("training %s, seed %d: %d of %d steps of all%s; captures %.2f %%",
		s.Kind, s.Seed, s.Done, s.Of, left(time.Since(p.began), s.Done, s.Of), s.Captured))
}

// A benchReport writes a result for people.
type benchReport struct {
	*page
	*policybench.Result
}

func (r *benchReport) print() {
	over := "means over 1 seed"
	if r.Seeds > 1 {
		over = fmt.Sprintf("means, with 95 %% confidence intervals over %d seeds", r.Seeds)
	}
	r.text(0, "%d held-out cells of NAS-Bench-201, moves of %s; %s", r.Cells, r.Rules, over)
	r.figures("accuracy, %", 2, func(s *policybench.Score) policybench.Estimate { return s.Accuracy }, r.Reachable[:])
	r.figures("captured headroom, %: (accuracy - none's) / (best reachable - none's)", 1, func(s *policybench.Score) policybench.Estimate { return s.Captured }, nil)
	r.figures("cells that became less accurate, %", 1, func(s *policybench.Score) policybench.Estimate { return s.Worse }, nil)
	r.costs()
	r.notes()
}

// figures prints one figure of every row on the three data sets.
func (r *benchReport) figures(title string, digits int, figure func(*policybench.Score) policybench.Estimate, best []float64) {
	r.heading("%s", title)
	t := &table{indent: 2, numbers: []bool{false, true, true, true}, optional: 2}
	header := []string{""}
	for d := range train.Dataset(train.Datasets) {
		header = append(header, d.String())
	}
	t.add(header...)
	list := make([][]string, train.Datasets)
	for d := range list {
		for i := range r.Rows {
			list[d] = append(list[d], estimated(figure(&r.Rows[i].On[d]), digits))
		}
		if best != nil {
			list[d] = append(list[d], fmt.Sprintf("%.*f", digits, best[d]))
		}
		align(list[d])
	}
	r.rows(t, func(i int) []string { return []string{list[0][i], list[1][i], list[2][i]} })
	if best != nil {
		n := len(r.Rows)
		t.add("best reachable", list[0][n], list[1][n], list[2][n])
	}
	r.table(t)
}

// rows adds all rows to a table, those that look candidates up below a line of
// their own.
func (r *benchReport) rows(t *table, cells func(i int) []string) {
	ranked := false
	for i := range r.Rows {
		if !ranked && r.Rows[i].LookUps.Mean > 0 {
			ranked = true
			t.add(append([]string{"with look-ups in the table:"}, make([]string, len(t.numbers)-1)...)...)
		}
		t.add(append([]string{r.Rows[i].Label()}, cells(i)...)...)
	}
}

// costs prints what decisions cost, and their results.
func (r *benchReport) costs() {
	r.heading("cost")
	t := &table{indent: 2, numbers: []bool{false, true, true, true}, optional: 2}
	header := []string{"", "multiply-adds", "look-ups", "time"}
	list := make([][]string, 3)
	for i := range r.Rows {
		x := &r.Rows[i]
		list[0] = append(list[0], estimated(x.MAddsShare, 1)+" %")
		lookUps := ""
		if x.LookUps.Mean > 0 {
			lookUps = fmt.Sprintf("%.1f", x.LookUps.Mean)
		}
		list[1] = append(list[1], lookUps)
		list[2] = append(list[2], fmt.Sprintf("%.1f µs", x.Micros.Mean))
	}
	if r.Device != "" {
		t.numbers, t.optional = append(t.numbers, true), 3
		header = slices.Insert(header, 2, "latency")
		var latencies []string
		for _, x := range r.Rows {
			latencies = append(latencies, fmt.Sprintf("%.2f ms", x.Latency.Mean))
		}
		list = slices.Insert(list, 1, latencies)
	}
	t.add(header...)
	r.rows(t, func(i int) (cells []string) {
		for _, column := range list {
			cells = append(cells, column[i])
		}
		return cells
	})
	r.table(t)
}

func (r *benchReport) notes() {
	r.blank()
	r.text(0, "Multiply-adds are a share of the input's. The time is that of one decision on this machine, on one core; a look-up takes none here, and is the training of a network elsewhere.")
	if r.Device != "" {
		r.text(0, "Latencies are those of %s in the table.", r.Device)
	}
	r.text(0, "All who look up, look at test accuracies on CIFAR-10, as the paper does; only the figures on the other data sets are of images that no decision saw.")
	for _, kind := range train.Kinds() {
		r.training(kind)
	}
}

// training prints what training a kind took.
func (r *benchReport) training(kind train.Kind) {
	sum, n, reused, steps := 0.0, 0, 0, 0
	for _, t := range r.Trainings {
		if t.Kind != kind {
			continue
		}
		sum, n, steps = sum+t.StepMS, n+1, t.Steps
		if t.Reused {
			reused++
		}
	}
	if n == 0 {
		return
	}
	note := ""
	if reused > 0 {
		note = fmt.Sprintf("; %d of %d by earlier runs", reused, n)
	}
	r.text(0, "%s was trained %d times for %d steps of %.2f ms%s.", kind, n, steps, sum/float64(n), note)
}

// estimated writes an estimate with its interval.
func estimated(e policybench.Estimate, digits int) string {
	if e.HalfWidth == nil {
		return fmt.Sprintf("%.*f", digits, e.Mean)
	}
	return fmt.Sprintf("%.*f ± %.*f", digits, e.Mean, digits, *e.HalfWidth)
}

// align makes room behind numbers without an interval, so that all numbers of a
// column stand below each other.
func align(column []string) {
	width := 0
	for _, s := range column {
		if _, interval, ok := strings.Cut(s, " ± "); ok {
			width = max(width, columns(interval)+3)
		}
	}
	for i, s := range column {
		_, interval, ok := strings.Cut(s, " ± ")
		room := width
		if ok {
			room -= columns(interval) + 3
		}
		column[i] += strings.Repeat(" ", room)
	}
}
