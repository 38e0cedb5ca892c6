package main

import (
	"fmt"
	"strings"
)

// A table is rows of cells. Columns of numbers stand to the right; the others
// are cut where the page is too narrow for all.
type table struct {
	indent  int
	numbers []bool // by column
	rows    [][]string
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
		for i, s := range row {
			s = clip(clean(s), widths[i])
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

// leastText is what a column of text is never cut below.
const leastText = 8

// widths returns the width of each column: what it needs, less what the widest
// columns of text have to give up.
func (t *table) widths(page int) []int {
	widths := make([]int, len(t.numbers))
	for _, row := range t.rows {
		for i, s := range row {
			widths[i] = max(widths[i], columns(clean(s)))
		}
	}
	total := t.indent + gap*(len(widths)-1)
	for _, w := range widths {
		total += w
	}
	for ; total > page; total-- {
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
