package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/fleet/diff"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/urfave/cli/v2"
)

func (t *tool) replayCommand() *cli.Command {
	return &cli.Command{
		Name:      "replay",
		Usage:     "do to a network again what a result says was done to it",
		ArgsUsage: "IN --from OUT [-o FILE]",
		Description: "Reads from the metadata of OUT what optimize did, does that to IN, and compares: the same input gives the same bytes. " +
			"So it tells whether OUT is what it says, needing neither the policy nor its seed. Without -o nothing is written. " +
			"What was compressed is fitted again, and wants the same --data; how they were prepared and which of them were used is noted. " +
			"The bytes are the same where the same kind of processor computes.\n\n" +
			"Where the result differs from OUT, because OUT was trained since for example, it is written all the same, what differs is said, and the exit code is 5. " +
			"Where IN has no such cell, or another operation in its place, nothing is written, and the exit code is 3.\n\n" +
			"External data are compared by content, since files of other names hold them.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "take what was done from `OUT`, a result of optimize"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the result to `FILE`; - is standard output"},
			&cli.StringFlag{Name: "data", Usage: "fit on `DATA`, those that OUT was compressed with"},
			&cli.StringFlag{Name: "preprocess", Usage: "prepare pictures in this way, `HOW`; without it, as OUT says"},
			countFlag("workers", 0, 1, 4096, "compute on `N` cores; without it, on all"),
			progressFlag(),
		},
		Action: t.replay,
	}
}

// A replayed is a rewriting that was done again.
type replayed struct {
	in, from  string // as the user wrote them
	was       *onnxgraph.Model
	stamp     stamp
	result    *onnxgraph.Model
	moves     int
	identical bool
	diff      *diff.Diff // nil where the bytes are the same
	digests   [2]string  // of what was done again, and of what there was
}

// A replayFact is what replay prints.
type replayFact struct {
	Schema    schemaV1 `json:"schema_version"`
	Version   string   `json:"natonnx_version"`
	Input     string   `json:"input"`
	From      string   `json:"from"`
	Output    *string  `json:"output"` // null: nothing was written
	Mode      string   `json:"mode"`
	By        string   `json:"from_version"` // of natonnx that wrote it
	Moves     int      `json:"moves"`
	Identical bool     `json:"identical"`         // byte for byte
	Same      bool     `json:"same"`              // in all but the bytes
	Differs   string   `json:"differs,omitempty"` // in what
	Digest    string   `json:"sha256"`            // of the result
	Was       string   `json:"from_sha256"`
}

func (t *tool) replay(c *cli.Context) error {
	args, err := arguments(c, 1)
	if err != nil {
		return err
	}
	r := &replayed{in: args[0], from: c.String("from")}
	out := c.String("output")
	if err := r.checkPaths(c.IsSet("output"), out); err != nil {
		return err
	}
	if r.was, err = t.read(c.Context, r.from); err != nil {
		return err
	}
	input, err := t.open(c.Context, r.in)
	if err != nil {
		return err
	}
	if err := r.again(t, c, input); err != nil {
		return err
	}
	if err := r.compare(c.Context); err != nil {
		return err
	}
	if out != "" {
		if err := t.write(c.Context, r.result, out); err != nil {
			return err
		}
	}
	return t.reportReplay(r, out)
}

// checkPaths refuses to replace what is to be read or compared.
func (r *replayed) checkPaths(named bool, out string) error {
	switch {
	case r.from == "":
		return &usageError{"replay: there is no --from", "name the result of optimize with --from OUT"}
	case r.in == stdio && r.from == stdio:
		return usagef("replay: only one of the models can be standard input")
	case named && out == "":
		return usagef("-o: the name of the output is empty")
	case out != stdio && sameFile(r.in, out):
		return usagef("-o %s: is the input", out)
	case out != stdio && sameFile(r.from, out):
		return usagef("-o %s: is what --from names", out)
	}
	return writable(out)
}

// again does to a valid model what the other one says was done to it.
func (r *replayed) again(t *tool, c *cli.Context, input *onnxgraph.Model) error {
	r.stamp = stampOf(r.was)
	if len(r.stamp) == 0 {
		return &modelError{r.was.Path + ": metadata_props: nothing under natonnx.: it does not say what was done to it"}
	}
	if err := r.checkSource(c.Context, input); err != nil {
		return err
	}
	var err error
	switch mode := r.stamp.get("mode"); mode {
	case "redesign":
		if c.IsSet("data") {
			return &usageError{"--data: " + r.from + " was redesigned, which takes none", "leave it out"}
		}
		r.result, err = r.redesign(input)
	case "compress":
		r.result, err = r.compress(t, c, input)
	default:
		err = &modelError{fmt.Sprintf("%s: metadata_props: natonnx.mode is %s, want redesign or compress", r.was.Path, quoted(mode))}
	}
	if err != nil {
		return err
	}
	if r.result, err = r.result.Apply(r.restamp(input)); err != nil {
		return err
	}
	if err := r.result.Validate(); err != nil {
		return &modelError{fmt.Sprintf("%s: the result would be invalid and was not written: %v", r.in, err)}
	}
	return nil
}

// checkSource compares the input with the one that is noted, if it is.
func (r *replayed) checkSource(ctx context.Context, input *onnxgraph.Model) error {
	want := r.stamp.get("source")
	if want == "" {
		return nil
	}
	found, err := digestOf(ctx, input)
	if err == nil && found != want {
		err = &modelError{fmt.Sprintf("%s: is not what %s was made of: its SHA-256 is %s, want %s", input.Path, r.was.Path, found, quoted(want))}
	}
	return err
}

// digestOf is the SHA-256 of the model's file, external data apart.
func digestOf(ctx context.Context, m *onnxgraph.Model) (string, error) {
	h := sha256.New()
	if _, err := m.WriteTo(&cancelled{h, ctx}); err != nil {
		return "", &ioError{fmt.Errorf("%s: %w", m.Path, err)}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// redesign makes the moves of a redesign.
func (r *replayed) redesign(input *onnxgraph.Model) (*onnxgraph.Model, error) {
	noted, err := r.stamp.moves()
	if err != nil {
		return nil, &modelError{fmt.Sprintf("%s: metadata_props: natonnx.moves: %v", r.was.Path, err)}
	}
	var init cellmap.SkipInit
	switch how := r.stamp.get("skip_init"); how {
	case "gate":
		init = cellmap.ZeroGate
	case "identity":
		init = cellmap.IdentitySkip
	default:
		return nil, &modelError{fmt.Sprintf("%s: metadata_props: natonnx.skip_init is %s, want gate or identity", r.was.Path, quoted(how))}
	}
	cells := cellmap.Lift(input)
	moves := make([]cellmap.Move, len(noted))
	for i, m := range noted {
		if moves[i], err = m.in(cells); err != nil {
			return nil, &modelError{fmt.Sprintf("%s: natonnx.moves[%d] of %s: %v", r.in, i, r.was.Path, err)}
		}
	}
	r.moves = len(moves)
	patch, err := cells.Lower(moves, init)
	var refusal cellmap.Refusal
	switch {
	case errors.As(err, &refusal):
		return nil, &modelError{fmt.Sprintf("%s: %s: %s", r.in, refusal.Where, refusal.Reason)}
	case err != nil:
		return nil, err
	}
	return input.Apply(patch)
}

// in finds a noted move in a network.
func (s stampedMove) in(cells *cellmap.Map) (cellmap.Move, error) {
	var m cellmap.Move
	for _, c := range cells.Cells {
		if c.Name == s.Cell {
			m.Cell = c
		}
	}
	if m.Cell == nil {
		return m, fmt.Errorf("there is no cell called %s", quoted(s.Cell))
	}
	m.Edge, m.To = cellmap.EdgeID{Node: s.Node + 2, Slot: s.Slot}, cellmap.Op(s.To)
	if s.Node < 0 || s.Node >= len(m.Cell.Nodes) || s.Slot < 0 || s.Slot > 1 {
		return m, fmt.Errorf("%s has no node %d with a slot %d", s.Cell, s.Node, s.Slot)
	}
	if op := m.Old().Op; string(op) != s.From {
		return m, fmt.Errorf("%s, node %d, slot %d: the operation is %s, want %s", s.Cell, s.Node, s.Slot, opName(op), legible.Clip(opName(cellmap.Op(s.From)), 100))
	}
	return m, nil
}

// restamp notes what the other model has noted, as far as the input has not.
func (r *replayed) restamp(input *onnxgraph.Model) *onnxgraph.Patch {
	p, had := &onnxgraph.Patch{Rule: "stamp"}, stampOf(input)
	for _, e := range r.stamp {
		if !slices.Contains(had, e) {
			p.Metadata = append(p.Metadata, onnxgraph.Property{Key: stampPrefix + e.Key, Value: e.Value})
		}
	}
	return p
}

// compare holds the result against the other model.
func (r *replayed) compare(ctx context.Context) (err error) {
	for i, m := range []*onnxgraph.Model{r.result, r.was} {
		if r.digests[i], err = digestOf(ctx, m); err != nil {
			return err
		}
	}
	if r.identical = r.digests[0] == r.digests[1] && !hasExternalData(r.result); r.identical {
		return nil
	}
	r.diff, err = diff.Compare(ctx, r.was, r.result, diff.Options{})
	return err
}

// same reports whether nothing differs but the bytes.
func (r *replayed) same() bool {
	return r.identical || r.diff.Same && len(r.diff.Tensors.Unread) == 0
}

// reproduced reports whether the result is what it should be.
func (r *replayed) reproduced() bool {
	return r.identical || hasExternalData(r.result) && r.same()
}

// difference says what differs; "": nothing.
func (r *replayed) difference() string {
	switch {
	case r.identical:
		return ""
	case r.same():
		return "the same network, written in other bytes"
	}
	s, t := &r.diff.Structure, &r.diff.Tensors
	var parts []string
	for _, c := range []struct {
		n         int
		one, many string
	}{
		{len(s.Added) + len(s.Removed) + len(s.Changed) + len(s.Outputs), "node differs", "nodes differ"},
		{len(t.Added) + len(t.Removed) + len(t.Changed), "tensor differs", "tensors differ"},
		{len(t.Unread), "tensor could not be compared", "tensors could not be compared"},
		{len(r.diff.Renames), "name differs", "names differ"},
		{len(r.diff.Interface), "part of the interface differs", "parts of the interface differ"},
		{len(r.diff.Metadata), "entry of the metadata differs", "entries of the metadata differ"},
	} {
		if c.n > 0 {
			parts = append(parts, pluralVerb(c.n, c.one, c.many))
		}
	}
	return strings.Join(parts, ", ")
}

func (r *replayed) failure() error {
	if r.reproduced() {
		return nil
	}
	return &checkError{fmt.Sprintf("what was done to %s again differs from %s: %s", r.in, r.from, r.difference())}
}

// reportReplay says what came of it. The report gives way to a model on
// standard output.
func (t *tool) reportReplay(r *replayed, out string) error {
	p := t.page()
	if out == stdio {
		p = t.logPage()
	}
	if t.json {
		return errors.Join(r.failure(), writeJSON(p.w, r.fact(out)))
	}
	if t.quiet {
		return r.failure()
	}
	p.text(0, "%s, as %s says: mode %s, %s, by natonnx %s", r.in, r.from, r.stamp.get("mode"), legible.Plural(r.moves, "move"), legible.Clip(r.stamp.get("version"), 100))
	switch {
	case r.identical:
		p.text(0, "identical to %s, byte for byte", r.from)
	case r.reproduced():
		p.text(0, "the same as %s; external data were compared by content", r.from)
	default:
		p.text(0, "differs from %s: %s", r.from, r.difference())
		if by := r.stamp.get("version"); by != version {
			p.text(2, "this is natonnx %s, which may carry out moves in another way", version)
		}
	}
	if out != "" {
		p.text(0, "wrote %s", written(out))
	}
	if !r.reproduced() && out != "" && out != stdio {
		t.hint("next: natonnx diff %s %s shows what differs", r.from, out)
	}
	return r.failure()
}

func (r *replayed) fact(out string) replayFact {
	f := replayFact{
		Version: version, Input: r.in, From: r.from, Mode: r.stamp.get("mode"), By: r.stamp.get("version"), Moves: r.moves,
		Identical: r.identical, Same: r.same(), Differs: r.difference(), Digest: r.digests[0], Was: r.digests[1],
	}
	if out != "" {
		f.Output = &out
	}
	return f
}

// quoted writes what a stranger noted, at a length that can be read.
func quoted(s string) string { return legible.Clip(strconv.Quote(s), 100) }
