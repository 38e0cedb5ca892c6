package report

import (
	"bufio"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/natonnx/natonnx/fleet/check"
	"github.com/natonnx/natonnx/internal/legible"
)

// colours of the severities, as codes of ANSI terminals.
var colours = map[check.Severity]string{check.Error: "31", check.Warning: "33", check.Note: "36"}

// severityWidth is that of the longest severity.
const severityWidth = len(check.Warning)

// text writes a report for people: the findings by file, each on a line of its
// own where the width allows that.
func text(w *bufio.Writer, r *check.Report, o Options) error {
	shown := false
	for _, result := range r.Results {
		if len(result.Findings) == 0 && !o.Detail {
			continue
		}
		if shown {
			fmt.Fprintln(w)
		}
		shown = true
		head := result.Path + ": " + counted(count(result.Findings))
		o.line(w, 0, "1", "", legible.Line(head))
		for _, f := range gravest(result.Findings) {
			o.line(w, 2, colours[f.Severity], fmt.Sprintf("%-*s", severityWidth, f.Severity), legible.Line(sentence(f)))
		}
		if o.Detail {
			for _, s := range result.Skipped {
				o.line(w, 2, "2", fmt.Sprintf("%-*s", severityWidth, "skipped"), legible.Line(title(s.Rule)+": "+s.Reason))
			}
		}
	}
	if shown {
		fmt.Fprintln(w)
	}
	o.line(w, 0, "1", "", summary(r))
	return nil
}

// sentence says what was found, by which rule and where.
func sentence(f check.Finding) string {
	s := title(f.Rule) + ": "
	if f.Where != "" {
		s += f.Where + ": "
	}
	return s + f.Message
}

// line writes a label in colour and a text, which is broken to the width and
// hangs below its first word. Without a label the text itself is coloured.
func (o Options) line(w *bufio.Writer, indent int, colour, label, text string) {
	hang := indent + 2
	if label != "" {
		hang = indent + utf8.RuneCountInString(label) + 2
	}
	w.WriteString(strings.Repeat(" ", indent))
	if label != "" {
		w.WriteString(o.paint(colour, label) + "  ")
		colour = ""
	}
	first := indent
	if label != "" {
		first = hang
	}
	for i, line := range o.wrap(text, first, hang) {
		if i > 0 {
			w.WriteString("\n" + strings.Repeat(" ", hang))
		}
		w.WriteString(o.paint(colour, line))
	}
	w.WriteString("\n")
}

func (o Options) paint(colour, s string) string {
	if !o.Colour || colour == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// wrap breaks a text at spaces so that its lines, indented by first and hang
// columns, fit the width. A longer word has a line of its own.
func (o Options) wrap(s string, first, hang int) (lines []string) {
	if o.Width <= 0 {
		return []string{s}
	}
	line, room := "", o.Width-first
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= room:
			line += " " + word
		default:
			lines, line, room = append(lines, line), word, o.Width-hang
		}
	}
	return append(lines, line)
}
