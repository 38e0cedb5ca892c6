package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/natonnx/natonnx/internal/legible"
)

// A table is rows of cells. Columns of numbers stand to the right. Where the
// page is too narrow, optional columns go and then the others' text is cut.
type table struct {
	indent   int
	numbers  []bool // by column
	optional int    // how many of the last columns may be left out
	rows     [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// gap is what separates two columns.
const gap = 2

// table writes a table.
func (p *page) table(t *table) {
	for _, row := range t.lines(p.width) {
		fmt.Fprintln(p.w, row)
	}
}

// lines returns the rows of a table, each as one line that fits a page.
func (t *table) lines(page int) (lines []string) {
	widths := t.widths(page)
	for _, row := range t.rows {
		var b strings.Builder
		b.WriteString(strings.Repeat(" ", t.indent))
		for i, s := range row[:len(widths)] {
			s = legible.Clip(clean(s), widths[i])
			pad := strings.Repeat(" ", widths[i]-columns(s))
			if i > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			if t.numbers[i] {
				b.WriteString(pad + s)
			} else {
				b.WriteString(s + pad)
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// Columns of text are not cut below leastText, and optional columns go before
// others are cut below goodText.
const leastText, goodText = 8, 16

// widths returns the width of each column that is shown: what it needs, less
// what the widest columns of text have to give up.
func (t *table) widths(page int) []int {
	widths := make([]int, len(t.numbers))
	for _, row := range t.rows {
		for i, s := range row {
			widths[i] = max(widths[i], columns(clean(s)))
		}
	}
	for least := len(widths) - t.optional; len(widths) > least && t.total(widths, goodText) > page; {
		widths = widths[:len(widths)-1]
	}
	for total := t.total(widths, math.MaxInt); total > page; total-- {
		widest := -1
		for i, w := range widths {
			if !t.numbers[i] && w > leastText && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// total is the width of a table whose columns of text have at most so many columns.
func (t *table) total(widths []int, text int) int {
	sum := t.indent - gap
	for i, w := range widths {
		if !t.numbers[i] {
			w = min(w, text)
		}
		sum += gap + w
	}
	return sum
}
