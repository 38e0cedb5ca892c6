package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/natonnx/natonnx/internal/legible"
)

// A page is text for people, wrapped to a width.
type page struct {
	w      io.Writer
	width  int
	colour bool
}

// narrowest is the width below which text is not squeezed any further.
const narrowest = 30

// width returns how many columns there are to write to f: $COLUMNS, or what
// the terminal has, or else 80.
func width(f *os.File) int {
	n, err := strconv.Atoi(os.Getenv("COLUMNS"))
	if err != nil || n <= 0 {
		n, _ = terminal(f)
	}
	if n <= 0 {
		n = 80
	}
	return max(n, narrowest)
}

// colour reports whether to write colours to f (see no-color.org).
func colour(f *os.File) bool {
	return isTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(f *os.File) bool {
	_, ok := terminal(f)
	return ok
}

// heading writes the title of a part, after an empty line.
func (p *page) heading(format string, args ...any) {
	p.blank()
	for i, line := range wrap(clean(fmt.Sprintf(format, args...)), p.width, p.width-2) {
		if i > 0 {
			line = "  " + line
		}
		if p.colour {
			line = "\x1b[1m" + line + "\x1b[0m"
		}
		fmt.Fprintln(p.w, line)
	}
}

// text writes a paragraph; its first line is indented by indent columns and
// the others by two more.
func (p *page) text(indent int, format string, args ...any) {
	margin := strings.Repeat(" ", indent)
	for i, line := range wrap(clean(fmt.Sprintf(format, args...)), p.width-indent, p.width-indent-2) {
		if i > 0 {
			line = "  " + line
		}
		fmt.Fprintf(p.w, "%s%s\n", margin, line)
	}
}

// shell writes a command that can be pasted into a POSIX shell.
func (p *page) shell(indent int, command string) {
	margin := strings.Repeat(" ", indent)
	lines := wrap(clean(command), p.width-indent-2, p.width-indent-4)
	fmt.Fprintf(p.w, "%s%s\n", margin, strings.Join(lines, " \\\n"+margin+"  "))
}

// paragraph writes text without a hanging indent.
func (p *page) paragraph(s string) {
	for _, line := range wrap(s, p.width, p.width) {
		fmt.Fprintln(p.w, line)
	}
}

func (p *page) blank() { fmt.Fprintln(p.w) }

// wrap breaks a text at spaces into lines of first and, after that, other
// columns. A longer word has a line of its own.
func wrap(s string, first, other int) (lines []string) {
	line, room := "", first
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) <= room:
			line += " " + word
		default:
			lines, line, room = append(lines, line), word, other
		}
	}
	return append(lines, line)
}

func columns(s string) int { return utf8.RuneCountInString(s) }

// clean makes what comes from a model or a command line fit to be shown on a
// terminal. A carriage return would hide what stands before it.
func clean(s string) string { return legible.Line(strings.ReplaceAll(s, "\r", "\uFFFD")) }
