package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/urfave/cli/v2"
)

func (t *tool) optimizeCommand() *cli.Command {
	return &cli.Command{
		Name:      "optimize",
		Usage:     "make a network cheaper from data, or redesign it",
		ArgsUsage: "IN [-o OUT]",
		Description: "Reads the ONNX file IN, finds its cells, changes some, and writes the valid result to OUT. Everything that no change touches stays as it is, byte for byte. " +
			"What was done is noted in the result's metadata_props, under natonnx. Where nothing is to be done, OUT is an identical copy.\n\n" +
			"With --data the mode is compress: operations and whole blocks go, and what they did is fitted into what is left, from the pictures alone. The result computes nearly what IN does and costs less. " +
			"It is judged on samples that nothing else has seen: by accuracy where there are labels, else by how often the top class is the one that IN sees. Where more than --max-drop is lost, nothing is written, and the exit code is 4. " +
			"Without a bound the knee of the trade-off is taken. A few hundred pictures such as the network is made for do; IN takes one input of pictures of a known size, and grey pictures get three channels.\n\n" +
			"Without --data the mode is redesign, NAT as published: a policy adds skips and replaces operations by skips or nulls, for a network that is then fine-tuned. " +
			"How far the result's outputs are from those of IN is measured on probe inputs, and with --mode redesign --data on DATA too.\n\n" +
			"An interruption of compress finishes the best network so far, and writes it; a second one stops at once.",
		Flags:  slices.Concat(outputFlags(), decisionFlags(), effectFlags(), compressFlags()),
		Action: t.optimize,
	}
}

func (t *tool) optimize(c *cli.Context) error {
	switch m, err := readMode(c); {
	case err != nil:
		return err
	case m.compress:
		return t.compress(c, m)
	}
	d, err := readDecision(c)
	if err != nil {
		return err
	}
	out, err := outputPath(c, d.path)
	if err != nil {
		return err
	}
	if err := writable(out); err != nil {
		return err
	}
	how, err := readRunning(c)
	if err != nil {
		return err
	}
	m, err := t.open(c.Context, d.path)
	if err != nil {
		return err
	}
	if err := d.rewrite(c.Context, m); err != nil {
		return err
	}
	if err := t.measureEffect(c, d, how); err != nil {
		return err
	}
	if err := t.write(c.Context, d.Result, out); err != nil {
		return err
	}
	return t.reportOptimize(d, out)
}

// rewrite chooses the transformation of a valid model, and checks the result.
func (d *decision) rewrite(ctx context.Context, m *onnxgraph.Model) error {
	if err := d.choose(ctx, m); err != nil || len(d.Moves) == 0 {
		return err
	}
	if err := d.Result.Validate(); err != nil {
		return fmt.Errorf("the result would be invalid and was not written: %v", err)
	}
	return nil
}

// stamp notes in the model what was done to it.
func (d *decision) stamp() *onnxgraph.Patch {
	type move struct {
		Cell string `json:"cell"`
		Node int    `json:"node"`
		Slot int    `json:"slot"`
		From string `json:"from"`
		To   string `json:"to"`
	}
	var moves []move
	for _, m := range d.Moves {
		moves = append(moves, move{m.Cell.Name, cellmap.Label(m.Edge.Node), m.Edge.Slot, string(m.Old().Op), string(m.To)})
	}
	list, err := json.Marshal(moves)
	if err != nil {
		panic(err) // strings and numbers always have a form
	}
	p := &onnxgraph.Patch{Rule: "stamp"}
	for _, property := range [][2]string{
		{"version", version}, {"mode", "redesign"}, {"policy", d.opt.Policy.Card().Name}, {"rules", d.opt.Rules.Name},
		{"seed", strconv.FormatUint(d.opt.Seed, 10)}, {"skip_init", d.skipInit()}, {"retrain", d.retrain()}, {"moves", string(list)},
	} {
		p.Metadata = append(p.Metadata, onnxgraph.Property{Key: "natonnx." + property[0], Value: property[1]})
	}
	return p
}

// reportOptimize says what was written. The report gives way to a model on
// standard output.
func (t *tool) reportOptimize(d *decision, out string) error {
	p := t.page()
	if out == stdio {
		p = t.logPage()
	}
	switch {
	case t.json:
		return writeJSON(p.w, d.fact(&out))
	case t.quiet:
		return nil
	}
	d.preamble(p, t.verbose)
	if len(d.Moves) == 0 {
		d.nothing(p)
		d.refusals(p)
		noCells(p, d.Map.Refused)
		if d.effect.data != nil {
			d.effect.print(p)
		}
		p.heading("wrote %s, an identical copy", written(out))
		return nil
	}
	d.changes(p)
	d.refusals(p)
	noCells(p, d.Map.Refused)
	d.costs(p)
	d.verdict(p)
	p.heading("wrote %s", written(out))
	if out != stdio {
		t.hint("next: fine-tune %s; natonnx cells takes the same flags and draws what changed", out)
	}
	return nil
}

func written(out string) string {
	if out == stdio {
		return "to standard output"
	}
	return out
}
