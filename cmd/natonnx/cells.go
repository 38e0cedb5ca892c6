package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/cellmap/draw"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/urfave/cli/v2"
)

func (t *tool) cellsCommand() *cli.Command {
	return &cli.Command{
		Name:      "cells",
		Usage:     "draw the cells of a network before and after the decisions",
		ArgsUsage: "IN [-o OUT.svg|OUT.dot|OUT.html]",
		Description: "Draws one panel for each type of cell. The name of OUT says the form: SVG, Graphviz or a page for browsers. " +
			"Without -o the cells are printed in compact form: x<f is operation x from node f (c3 a 3x3 convolution, w depthwise, s separable, " +
			"d dilated, M and A max and average pooling, S skip, N null), | separates the nodes, which are 2, 3, ... after the inputs 0 and 1, and cat lists the output.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "draw to `OUT`, a name that ends in .svg, .dot or .html; - is standard output as SVG"},
			&cli.BoolFlag{Name: "genotypes", Usage: "print the cells as the authors of NAT write them, in Python"},
		}, decisionFlags()...),
		Action: t.cells,
	}
}

// A drawing writes panels as a picture with a title.
type drawing func(w io.Writer, title string, panels []draw.Panel) error

var drawings = map[string]drawing{".svg": draw.SVG, ".dot": draw.DOT, ".html": draw.HTML}

func (t *tool) cells(c *cli.Context) error {
	out := c.String("output")
	picture, drawable := drawings[strings.ToLower(filepath.Ext(out))]
	switch {
	case out == stdio:
		picture = draw.SVG
	case c.IsSet("output") && !drawable:
		return &usageError{fmt.Sprintf("-o %s: the name does not say what to draw", out), "end it in .svg, .dot or .html"}
	case c.IsSet("output") && c.Bool("genotypes"):
		return usagef("--genotypes prints text: leave out -o %s", out)
	}
	d, err := t.decide(c)
	if err != nil {
		return err
	}
	variants := d.variants()
	switch {
	case picture != nil:
		return t.draw(picture, out, d, variants)
	case t.json:
		return t.writeJSON(cellsFact(d, variants))
	case c.Bool("genotypes"):
		t.genotypes(variants)
		return nil
	}
	p := t.page()
	for i, v := range variants {
		if i > 0 {
			fmt.Fprintln(p.w)
		}
		p.text(0, "%s: %s", v.title(), strings.Join(v.cells, ", "))
		p.text(2, "before: %s", v.before)
		if v.changed() {
			p.text(2, "after: %s", v.after)
		}
	}
	if len(variants) == 0 {
		d.nothing(p)
		noCells(p, d.Map.Refused)
	}
	return nil
}

// A variant is the cells of one type that are treated alike.
type variant struct {
	of            *cellmap.Type
	cells         []string
	before, after cellmap.Form
}

func (v *variant) changed() bool { return !v.before.Equal(v.after) }

func (v *variant) title() string {
	s := fmt.Sprintf("%s: %s", v.of.Name, kindOf(v.of.Cells[0]))
	if v.of.Reduction {
		s += ", reducing"
	}
	return fmt.Sprintf("%s ×%d", s, len(v.cells))
}

func (d *decision) variants() (list []*variant) {
	at := map[string]*variant{}
	after := d.forms()
	for _, c := range d.Map.Cells {
		key := c.Type.Name + after[c].String()
		if at[key] == nil {
			at[key] = &variant{of: c.Type, before: c.Form(), after: after[c]}
			list = append(list, at[key])
		}
		at[key].cells = append(at[key].cells, c.Name)
	}
	return list
}

// draw writes the picture of the variants.
func (t *tool) draw(picture drawing, out string, d *decision, variants []*variant) error {
	var panels []draw.Panel
	for _, v := range variants {
		panels = append(panels, draw.Panel{Title: v.title(), Subtitle: strings.Join(v.cells, ", "), Before: v.before, After: v.after})
	}
	if len(panels) == 0 {
		return &modelError{d.path + ": has no cells to draw; natonnx inspect says why"}
	}
	var b bytes.Buffer
	if err := picture(&b, filepath.Base(d.path), panels); err != nil {
		return &modelError{d.path + ": " + err.Error()}
	}
	if out == stdio {
		_, err := t.out.Write(b.Bytes())
		return err
	}
	if err := onnxgraph.WriteFile(out, b.Bytes()); err != nil {
		return err
	}
	t.hint("drew %s to %s", legible.Plural(len(panels), "panel"), out)
	return nil
}

// genotypes prints cells in the authors' form, which pairs a normal cell with a
// reducing one. A network of one of each gives one line; of others each line
// has the one cell twice.
func (t *tool) genotypes(variants []*variant) {
	var normal, reducing []*variant
	for _, v := range variants {
		if v.of.Reduction {
			reducing = append(reducing, v)
		} else {
			normal = append(normal, v)
		}
	}
	if len(normal) == 1 && len(reducing) == 1 {
		n, r := normal[0], reducing[0]
		fmt.Fprintln(t.out, "BEFORE =", cellmap.Genotype{Normal: n.before, Reduce: r.before})
		if n.changed() || r.changed() {
			fmt.Fprintln(t.out, "AFTER =", cellmap.Genotype{Normal: n.after, Reduce: r.after})
		}
		return
	}
	for i, v := range variants {
		fmt.Fprintf(t.out, "# %s: %s\n", clean(v.title()), clean(strings.Join(v.cells, ", ")))
		fmt.Fprintf(t.out, "BEFORE_%d = %s\n", i+1, cellmap.Genotype{Normal: v.before, Reduce: v.before})
		if v.changed() {
			fmt.Fprintf(t.out, "AFTER_%d = %s\n", i+1, cellmap.Genotype{Normal: v.after, Reduce: v.after})
		}
	}
}

// A variantFact is a cell type, or the part of it that is treated alike.
type variantFact struct {
	Type      string   `json:"type"`
	Kind      string   `json:"kind"`
	Shortcut  string   `json:"shortcut,omitempty"`
	Reduction bool     `json:"reduction"`
	Cells     []string `json:"cells"`
	Before    string   `json:"before"`
	After     string   `json:"after"`
	Changed   bool     `json:"changed"`
}

func cellsFact(d *decision, variants []*variant) any {
	list := []variantFact{}
	for _, v := range variants {
		list = append(list, variantFact{v.of.Name, string(v.of.Kind), string(v.of.Shortcut), v.of.Reduction, v.cells, v.before.String(), v.after.String(), v.changed()})
	}
	return struct {
		Schema   schemaV1      `json:"schema_version"`
		Version  string        `json:"natonnx_version"`
		Input    string        `json:"input"`
		Policy   string        `json:"policy"`
		Variants []variantFact `json:"variants"`
		NoCells  []placeFact   `json:"not_cells"`
	}{schemaV1{}, version, d.path, d.policy, list, placeFacts(d.Map.Refused)}
}
