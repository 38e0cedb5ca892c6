package page

import (
	_ "embed" // the template
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/train/measure"
)

//go:embed page.html
var text string

var parsed = template.Must(template.New("page").Parse(text))

func writeHTML(w io.Writer, c *Curve) error {
	v := &view{Curve: c, Style: template.CSS(style), own: c.rows(c.Search, c.Points)}
	for _, s := range []size{wide, narrow} {
		p := newChart(c, s)
		p.draw()
		f := figure{Class: "wide", SVG: template.HTML(p.String())} // texts are escaped as they are drawn
		if s.width < wide.width {
			f.Class = "narrow"
		}
		for _, m := range p.marks {
			f.Spots = append(f.Spots, v.spot(m, s))
		}
		v.Figures = append(v.Figures, f)
	}
	return parsed.Execute(w, v)
}

// A view is what the template shows.
type view struct {
	*Curve
	Style   template.CSS
	Figures []figure
	own     []row
}

// A figure is the chart for windows of one kind; Spots lie on its points.
type figure struct {
	Class string
	SVG   template.HTML
	Spots []spot
}

// A spot is where a point is. Its place is in percent of the picture.
type spot struct {
	Left, Top string
	Side      string // where there is room for what it tells
	Summary   string
	Moves     []string
	More      int // moves
}

// mostMoves is how many moves a spot tells of; the table has all.
const mostMoves = 12

func (v *view) spot(m mark, s size) spot {
	list := v.moves(m.row)
	n := min(len(list), mostMoves)
	sides := "right"
	if m.x > s.width/2 {
		sides = "left"
	}
	if m.y > s.height/2 {
		sides += " up"
	}
	return spot{
		Left: percentage(m.x / s.width), Top: percentage(m.y / s.height), Side: sides,
		Summary: v.summary(m.row), Moves: list[:n], More: len(list) - n,
	}
}

func percentage(x float64) string { return strconv.FormatFloat(100*x, 'f', 3, 64) }

// longest is how many characters of a text a page shows.
const longest = 300

func (v *view) moves(r *row) (list []string) {
	for _, move := range r.Moves {
		list = append(list, legible.Clip(legible.Line(move), longest))
	}
	return list
}

// Name is the model's file, without its folder.
func (v *view) Name() string { return legible.Clip(legible.Line(filepath.Base(v.Model)), longest) }

// About says what was measured on.
func (v *view) About() string { return legible.Clip(legible.Line(v.about()), 2*longest) }

// TimedOn says what latencies were measured on.
func (v *view) TimedOn() string { return legible.Clip(legible.Line(v.Runtime), longest) }

// Sentences are the notes.
func (v *view) Sentences() (list []string) {
	for _, s := range v.Notes {
		list = append(list, legible.Clip(legible.Line(s), 2*longest))
	}
	return list
}

// chosen returns the point that was written; nil: none was.
func (v *view) chosen() *row {
	for i := range v.own {
		if v.own[i].Chosen {
			return &v.own[i]
		}
	}
	return nil
}

// Verdict is the page's one sentence.
func (v *view) Verdict() string {
	switch r := v.chosen(); {
	case r == nil:
		return "No point was chosen."
	case r.number == 0:
		return "The network as it was is the best choice: nothing was changed."
	default:
		return fmt.Sprintf("The chosen network needs %s of the multiply-adds, after %s.", percent(v.madds(&r.Point), 1), plural(len(r.Moves), "move"))
	}
}

// A fact is one line of the summary.
type fact struct{ Term, Meaning, Change string }

// Summary compares the chosen point with the input.
func (v *view) Summary() (list []fact) {
	r := v.chosen()
	if r == nil || r.number == 0 {
		return nil
	}
	was, is := v.Input.Cost, r.Cost
	list = append(list,
		fact{"multiply-adds", short(was.MAdds) + " → " + short(is.MAdds), change(was.MAdds, is.MAdds)},
		fact{"parameters", short(was.Params) + " → " + short(is.Params), change(was.Params, is.Params)},
		fact{"activation memory", memory(was.Memory) + " → " + memory(is.Memory), change(was.Memory, is.Memory)})
	if was.Latency > 0 && is.Latency > 0 {
		list = append(list, fact{"latency", milliseconds(was.Latency) + " → " + milliseconds(is.Latency), change(int64(was.Latency), int64(is.Latency))})
	}
	if r.Agreement.Of > 0 {
		list = append(list, fact{"same top class as the input", percentOf(r.Agreement), interval(r.Agreement)})
	}
	if before, after := v.Input.Accuracy, r.Accuracy; before != nil && after != nil && after.Of > 0 {
		list = append(list, fact{"accuracy (top-1)", percentOf(*before) + " → " + percentOf(*after), interval(*after)})
	}
	return list
}

// A line is a row of a table.
type line struct {
	Number                       int
	Class, Mark                  string
	MAdds, Share, Params, Memory string
	Latency, Loss                string
	Agreement, Accuracy          string
	Interval                     string // of what the chart shows
	Moves                        []string
}

// A table is lines, and which columns they have.
type table struct {
	Labelled, Timed bool
	Lines           []line
}

// Table makes a table of lines.
func (v *view) Table(lines []line) table {
	return table{v.Input.Accuracy != nil, v.Input.Cost.Latency > 0, lines}
}

// Best lists the front, the input and what was chosen.
func (v *view) Best() []line { return v.lines(true) }

// Others lists all other points, mostOthers at most.
func (v *view) Others() []line {
	list := v.lines(false)
	return list[:min(len(list), mostOthers)]
}

// Hidden counts the points that are not listed.
func (v *view) Hidden() int { return max(0, len(v.lines(false))-mostOthers) }

const mostOthers = 200

func (v *view) lines(best bool) (list []line) {
	for i := range v.own {
		r := &v.own[i]
		if (r.front || r.number == 0 || r.Chosen) != best {
			continue
		}
		l := line{
			Number: r.number, MAdds: short(r.Cost.MAdds), Share: percent(v.madds(&r.Point), 1), Params: short(r.Cost.Params), Memory: memory(r.Cost.Memory),
			Loss: strconv.FormatFloat(r.Loss, 'g', 3, 64), Agreement: percentOf(r.Agreement), Interval: interval(v.shown(&r.Point)), Moves: v.moves(r),
		}
		if r.Cost.Latency > 0 {
			l.Latency = milliseconds(r.Cost.Latency)
		}
		if r.Accuracy != nil {
			l.Accuracy = percentOf(*r.Accuracy)
		}
		if r.number == 0 {
			l.Mark = "input"
		}
		if r.Chosen {
			l.Mark, l.Class = strings.TrimPrefix(l.Mark+", chosen", ", "), "chosen"
		}
		list = append(list, l)
	}
	return list
}

// percentOf writes a share of images.
func percentOf(s measure.Share) string {
	if s.Of == 0 {
		return "—"
	}
	digits := 1
	if s.Of >= 2000 {
		digits = 2
	}
	return percent(s.Value(), digits)
}

// interval writes the 95 % interval of a share.
func interval(s measure.Share) string {
	if s.Of == 0 {
		return ""
	}
	low, high := s.Interval()
	return strings.TrimSuffix(percent(low, 1), "\u00a0%") + " to " + percent(high, 1)
}

func milliseconds(d time.Duration) string {
	return legible.FourDigits(float64(d)/float64(time.Millisecond)) + legible.NoBreak + "ms"
}

func change(before, after int64) string {
	switch {
	case before == after:
		return "same"
	case before == 0:
		return "new"
	}
	return strings.Replace(fmt.Sprintf("%+.1f\u00a0%%", 100*(float64(after)-float64(before))/float64(before)), "-", "−", 1)
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return legible.Grouped(int64(n)) + " " + thing + "s"
}

// short writes a number with four digits, memory one of bytes.
func short(n int64) string  { return legible.Amount(n, legible.NoBreak, "") }
func memory(n int64) string { return legible.Amount(n, legible.NoBreak, "B") }
