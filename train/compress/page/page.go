// Package page writes the trade-off of a compression: as a table, as a picture,
// and as a page for browsers. Each is one file that needs no other and no network.
package page

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/train/compress"
	"github.com/natonnx/natonnx/train/measure"
)

// A Curve is what a search found: ways to write a network, what each costs, and
// how well it does.
type Curve struct {
	Version string           // of natonnx
	Model   string           // the network's file
	Data    string           // what was measured on
	Search  string           // what found the points: nat, greedy, random
	Runtime string           // what the latency was measured on; "": it was not measured
	Input   compress.Point   // the network as it was
	Points  []compress.Point // all others, in any order
	Rivals  []Rival          // drawn for comparison
	Notes   []string         // sentences that the page tells beside
}

// A Rival is another search on the same network, data and measures.
type Rival struct {
	Name   string
	Points []compress.Point
}

// A Format is a way to write a curve.
type Format uint8

// The formats.
const (
	CSV  Format = iota + 1 // a line per point, with all that was measured
	SVG                    // a picture
	HTML                   // a page for browsers: the picture, and all points with their moves
)

// FormatOf tells the format from the ending of a file's name: .csv, .svg or
// .html, in any case. ok is false for all other endings.
func FormatOf(path string) (f Format, ok bool) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return CSV, true
	case ".svg":
		return SVG, true
	case ".html":
		return HTML, true
	}
	return 0, false
}

// Write writes the curve. The same curve gives the same bytes. It fails where
// the writer does.
//
// Pictures show the accuracy where the input's is there, else how often a
// point has the input's top class.
func Write(w io.Writer, f Format, c *Curve) error {
	switch f {
	case CSV:
		return writeCSV(w, c)
	case SVG:
		return writeSVG(w, c)
	case HTML:
		return writeHTML(w, c)
	}
	return fmt.Errorf("no format %d", f)
}

// A row is a point with what follows from the others.
type row struct {
	compress.Point
	search string
	number int // 0 is the input, and costs fall from 1 on
	front  bool
}

// rows returns the input and the points of one search, from the costliest to
// the cheapest.
func (c *Curve) rows(search string, points []compress.Point) []row {
	list := []row{{Point: c.Input, search: search}}
	for _, p := range points {
		list = append(list, row{Point: p, search: search})
	}
	slices.SortStableFunc(list[1:], func(a, b row) int {
		return cmp.Or(cmp.Compare(b.Cost.MAdds, a.Cost.MAdds), c.better(&b, &a))
	})
	for i := range list {
		list[i].number = i
	}
	c.markFront(list)
	return list
}

// markFront marks the points that no other beats in both cost and quality.
func (c *Curve) markFront(list []row) {
	order := make([]*row, len(list))
	for i := range list {
		order[i] = &list[i]
	}
	slices.SortStableFunc(order, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.Cost.MAdds, b.Cost.MAdds), c.better(b, a))
	})
	var best *row
	for _, r := range order {
		if c.shown(&r.Point).Of > 0 && (best == nil || c.better(r, best) > 0) {
			best, r.front = r, true
		}
	}
}

// better compares how well two points do: by what pictures show, and where that
// is equal by the loss.
func (c *Curve) better(a, b *row) int {
	x, y := c.shown(&a.Point), c.shown(&b.Point)
	return cmp.Or(cmp.Compare(x.Value(), y.Value()), cmp.Compare(-a.Loss, -b.Loss)) // NaN is the worst
}

// shown is the quality that pictures show; of no images where there is none.
func (c *Curve) shown(p *compress.Point) measure.Share {
	switch {
	case c.Input.Accuracy == nil:
		return p.Agreement
	case p.Accuracy == nil:
		return measure.Share{}
	}
	return *p.Accuracy
}

// quality names what shown returns.
func (c *Curve) quality() string {
	if c.Input.Accuracy == nil {
		return "same top class as the input"
	}
	return "accuracy (top-1)"
}

// images counts the images that qualities were measured on.
func (c *Curve) images() int { return c.shown(&c.Input).Of }

// share is the share of a cost in that of the input; 1 where that has none.
func share(cost, whole int64) float64 {
	if whole == 0 {
		return 1
	}
	return float64(cost) / float64(whole)
}

// madds is the share of the input's multiply-adds.
func (c *Curve) madds(p *compress.Point) float64 { return share(p.Cost.MAdds, c.Input.Cost.MAdds) }
