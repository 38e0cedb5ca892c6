package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/draw"
	"github.com/natonnx/natonnx/cellmap/stack"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/supernet"
	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

func (t *tool) trainDeriveCommand() *cli.Command {
	return &cli.Command{
		Name:      "derive",
		Usage:     "transform an architecture, choose in its supernet",
		ArgsUsage: "[DIR] --genotype G -o OUT",
		Description: "DIR is that of natonnx train supernet; without it, the most probable transformation is taken, and refused where it computes nothing. Draws transformations of the cells from its policy, or from --policy, and ranks them, and the cells as they are, by their accuracy with the shared " +
			"weights, on images that trained the policy. The folder OUT gets the best one: the genotype in the authors' form (genotype.txt), a picture of its cells before and after (cells.svg), the network of " +
			"--channels and --layers, untrained, which natonnx train network --model trains (network.onnx), and the supernet's own network with the shared weights (child.onnx).",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "genotype", Usage: "the cells to transform, `G`: a published genotype, a file with one in the authors' form, or that text"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to the folder `OUT`"},
			&cli.StringFlag{Name: "policy", Usage: "decide by `POLICY`, a name of natonnx policy list or a file; without it, the one in DIR, or " + transformer.DefaultPolicy},
			countFlag("candidates", 10, 1, 10000, "draw `N` transformations"),
			&cli.StringFlag{Name: "data", Usage: "the images of the run, `DATA`, where they have moved"},
			countFlag("channels", 36, 2, 4096, "`N` channels of the first cells of the network, an even number"),
			countFlag("layers", 20, 2, 100, "`N` cells of the network"),
			seedFlag(),
			countFlag("workers", 0, 1, 4096, "compute on `N` cores; without it, on all"),
			progressFlag(),
		},
		Action: t.trainDerive,
	}
}

// A derivedFact is what derive prints of a candidate, the best first.
type derivedFact struct {
	Accuracy *float64 `json:"accuracy"` // with shared weights, from 0 to 1; null: there is no supernet
	Input    bool     `json:"input"`
	Genotype string   `json:"genotype"`
	Normal   string   `json:"normal"` // in compact form
	Reduce   string   `json:"reduce"`
}

type deriveFact struct {
	Schema     schemaV1      `json:"schema_version"`
	Output     string        `json:"output"`
	Candidates []derivedFact `json:"candidates"`
}

func (t *tool) trainDerive(c *cli.Context) error {
	d, err := t.readDerivation(c)
	if err != nil {
		return err
	}
	var list []supernet.Candidate
	if d.run == nil {
		after, err := supernet.Likeliest(c.Context, d.input, d.policy)
		if err != nil {
			return usagef("%v", err)
		}
		list = []supernet.Candidate{{Genotype: after, Input: after.Equal(d.input)}}
	} else {
		shown := newProgress(t, choiceOf(c, "progress"))
		list, err = d.run.Search().Derive(c.Context, d.input, d.policy, int(countOf(c, "candidates")), countOf(c, "seed"), func(done, of int) { shown.count(done, of, "candidate") })
		shown.end()
		if err != nil {
			return usagef("%s: %v", d.run.Folder, err)
		}
	}
	if err := d.write(list[0].Genotype); err != nil {
		return err
	}
	return t.printDerived(d, list)
}

// A derivation is what train derive is asked for.
type derivation struct {
	c      *cli.Context
	input  cellmap.Genotype
	policy *transformer.GCN
	run    *supernet.Run // nil: none
}

func (t *tool) readDerivation(c *cli.Context) (*derivation, error) {
	args := c.Args().Slice()
	switch {
	case len(args) > 1:
		return nil, usagef("train derive: want one folder at most, found %q", args)
	case c.String("genotype") == "":
		return nil, &usageError{"train derive: --genotype is missing", "it names the cells to transform, such as --genotype DARTS"}
	case c.String("output") == "":
		return nil, &usageError{"train derive: -o is missing", "it names the folder that the result goes to"}
	}
	d, err := &derivation{c: c}, error(nil)
	if d.input, err = readGenotype(c.String("genotype")); err != nil {
		return nil, err
	}
	name := c.String("policy")
	if len(args) == 1 {
		if d.run, err = openRun(c, args[0]); err != nil {
			return nil, err
		}
		if name == "" {
			name = filepath.Join(args[0], supernet.PolicyFile)
		}
	}
	if name == "" {
		name = transformer.DefaultPolicy
	}
	if d.policy, err = findPolicy(name); err != nil {
		return nil, err
	}
	if d.run == nil {
		return d, nil
	}
	if have, want := d.policy.Card().Rules, d.run.Search().Space.Rules.Name; have != want {
		return nil, usagef("--policy %s: knows the moves of %s, the supernet those of %s", name, have, want)
	}
	return d, nil
}

// openRun takes up a search that was trained before.
func openRun(c *cli.Context, dir string) (*supernet.Run, error) {
	settings, err := supernet.ReadSettings(dir)
	if err != nil {
		return nil, trainingError(err, dir)
	}
	if moved := c.String("data"); moved != "" {
		settings.Data = moved
	}
	run := &supernet.Run{Settings: settings, Folder: dir, Workers: int(countOf(c, "workers"))}
	if run.Images, err = openTrainingImages(settings); err != nil {
		return nil, err
	}
	if err := run.Open(c.Context); err != nil {
		return nil, trainingError(err, dir, settings.Data)
	}
	if len(run.Search().Net.Params) == 0 {
		return nil, &ioError{fmt.Errorf("%s: there are no weights yet", filepath.Join(dir, supernet.StateFile))}
	}
	return run, nil
}

// write writes all that is known of a genotype.
func (d *derivation) write(after cellmap.Genotype) error {
	dir := d.c.String("output")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := onnxgraph.WriteFile(filepath.Join(dir, "genotype.txt"), []byte(after.String()+"\n")); err != nil {
		return err
	}
	var b bytes.Buffer
	panels := []draw.Panel{{Title: "normal", Before: d.input.Normal, After: after.Normal}, {Title: "reduction", Before: d.input.Reduce, After: after.Reduce}}
	if err := draw.SVG(&b, d.c.String("genotype"), panels); err != nil {
		return err
	}
	if err := onnxgraph.WriteFile(filepath.Join(dir, "cells.svg"), b.Bytes()); err != nil {
		return err
	}
	net := stack.Net{Genotype: after, Channels: int(countOf(d.c, "channels")), Layers: int(countOf(d.c, "layers")), Seed: countOf(d.c, "seed"), Classes: 10, Size: 32}
	if d.run != nil {
		net.Classes, net.Size = d.run.Search().Net.Classes, d.run.Search().Net.Size
	}
	m, err := net.Model(filepath.Join(dir, "network.onnx"))
	if err != nil {
		return usagef("%v", err)
	}
	if err := save(d.c.Context, m, m.Path); err != nil || d.run == nil {
		return err
	}
	child, err := d.run.Search().Export(d.c.Context, after, filepath.Join(dir, "child.onnx"))
	if err != nil {
		return err
	}
	return save(d.c.Context, child, child.Path)
}

func (t *tool) printDerived(d *derivation, list []supernet.Candidate) error {
	fact := deriveFact{Output: d.c.String("output")}
	for _, x := range list {
		f := derivedFact{Input: x.Input, Genotype: x.Genotype.String(), Normal: x.Normal.String(), Reduce: x.Reduce.String()}
		if d.run != nil {
			f.Accuracy = &x.Accuracy
		}
		fact.Candidates = append(fact.Candidates, f)
	}
	if t.json {
		return t.writeJSON(fact)
	}
	p := t.page()
	for i, x := range fact.Candidates {
		what := ""
		if x.Input {
			what = ", the input"
		}
		if x.Accuracy != nil {
			p.text(0, "%d: accuracy %.2f %% with shared weights%s", i+1, 100**x.Accuracy, what)
		} else {
			p.text(0, "the most probable%s", what)
		}
		if i == 0 || t.verbose {
			p.text(2, "normal: %s", x.Normal)
			p.text(2, "reduction: %s", x.Reduce)
		}
	}
	t.hint("wrote %s; next: natonnx train network --model %s --data ... -o trained.onnx", fact.Output, filepath.Join(fact.Output, "network.onnx"))
	return nil
}
