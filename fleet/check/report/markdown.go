package report

import (
	"bufio"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/natonnx/natonnx/fleet/check"
	"github.com/natonnx/natonnx/internal/legible"
)

// commentLimit is below GitHub's limit of 65,536 characters for a comment, by
// what the line on what was left out may take. Bytes are counted, which are
// never fewer than characters.
const commentLimit = 65_000

// cellLimit is the most characters of a text in a table.
const cellLimit = 300

// markdown writes a comment for a pull request, in GitHub's dialect: the models
// with errors, then those with warnings, each with all its findings; the measures;
// and, folded up, the notes on other models and the rules that could not be
// checked. What does not fit is counted.
func markdown(w *bufio.Writer, r *check.Report, _ Options) error {
	c := comment{left: commentLimit}
	c.block("### natonnx check " + summary(r) + "\n")
	var minor []check.Result
	for _, result := range worstFirst(r.Results) {
		if worst(result) == grade(check.Note) {
			minor = append(minor, result)
		} else {
			c.findings(result)
		}
	}
	c.measures(r.Results)
	c.notes(minor)
	c.skipped(r.Results)
	if c.omitted > 0 {
		fmt.Fprintf(&c.text, "\n**Not shown, as a comment is too short for it: %s.** The other formats show all.\n", legible.Plural(c.omitted, "line"))
	}
	_, err := w.WriteString(c.text.String())
	return err
}

// A comment is a text of limited length.
type comment struct {
	text    strings.Builder
	left    int // bytes
	omitted int // rows for which there was no room
}

// block adds a text if it fits.
func (c *comment) block(s string) bool {
	if len(s) > c.left {
		return false
	}
	c.left -= len(s)
	c.text.WriteString(s)
	return true
}

// table adds as many rows as fit, between a head and a tail.
func (c *comment) table(head string, rows []string, tail string) {
	if len(rows) == 0 {
		return
	}
	if len(head)+len(rows[0])+len(tail) > c.left {
		c.omitted += len(rows)
		return
	}
	c.left -= len(tail)
	c.block(head)
	for _, row := range rows {
		if !c.block(row) {
			c.omitted++
		}
	}
	c.text.WriteString(tail)
}

// worstFirst sorts results by their gravest finding.
func worstFirst(results []check.Result) []check.Result {
	list := slices.Clone(results)
	slices.SortStableFunc(list, func(a, b check.Result) int { return cmp.Compare(worst(b), worst(a)) })
	return list
}

// worst is the grade of the gravest finding; -1: there is none.
func worst(r check.Result) int {
	grave := -1
	for _, f := range r.Findings {
		grave = max(grave, grade(f.Severity))
	}
	return grave
}

var signs = [...]string{"ℹ️ note", "⚠️ warning", "❌ error"}

func (c *comment) findings(r check.Result) {
	var rows []string
	for _, f := range gravest(r.Findings) {
		rows = append(rows, row(signs[grade(f.Severity)], ruleLink(f.Rule), code(f.Where), prose(f.Message)))
	}
	head := fmt.Sprintf("\n#### %s: %s\n\n", code(r.Path), counted(count(r.Findings)))
	c.table(head+header("", "rule", "place", "finding"), rows, "")
}

// measures adds what each model costs, and how much more than its base.
func (c *comment) measures(results []check.Result) {
	var rows []string
	based := false
	for _, r := range results {
		if r.Measures == nil {
			continue
		}
		based = based || r.Base != nil
		b := cmp.Or(r.Base, &check.Measures{})
		m := r.Measures
		rows = append(rows, row(code(r.Path),
			compared(r.Base != nil, b.Params, m.Params, amount), compared(r.Base != nil, b.MAdds, m.MAdds, amount),
			compared(r.Base != nil, b.ActivationBytes, m.ActivationBytes, size), compared(r.Base != nil, b.FileBytes, m.FileBytes, size),
			latency(m.Latency), drift(m.Drift)))
	}
	head, title := "<details>", "Measures"
	if based {
		head, title = "<details open>", "Measures: base → now"
	}
	head = fmt.Sprintf("\n%s<summary>%s</summary>\n\n", head, title)
	c.table(head+header("model", "parameters", "multiply-adds", "activation memory", "file size", "latency", "drift"), rows, "\n</details>\n")
}

// notes adds the findings of models that have nothing worse.
func (c *comment) notes(results []check.Result) {
	var rows []string
	for _, r := range results {
		for _, f := range r.Findings {
			rows = append(rows, row(code(r.Path), ruleLink(f.Rule), code(f.Where), prose(f.Message)))
		}
	}
	head := fmt.Sprintf("\n<details><summary>%s on %s without errors and warnings</summary>\n\n", legible.Plural(len(rows), "note"), legible.Plural(len(results), "model"))
	c.table(head+header("model", "rule", "place", "finding"), rows, "\n</details>\n")
}

func (c *comment) skipped(results []check.Result) {
	var rows []string
	for _, r := range results {
		for _, s := range r.Skipped {
			rows = append(rows, row(code(r.Path), ruleLink(s.Rule), prose(s.Reason)))
		}
	}
	head := "\n<details><summary>" + legible.Plural(len(rows), "check") + " could not be made</summary>\n\n"
	c.table(head+header("model", "rule", "reason"), rows, "\n</details>\n")
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

func header(cells ...string) string {
	return row(cells...) + strings.Repeat("|---", len(cells)) + "|\n"
}

func ruleLink(id string) string {
	if ruleIndex(id) < 0 {
		return code(id)
	}
	r := rule(id)
	return fmt.Sprintf("[%s](%s/blob/main/%s) %s", r.ID, repository, r.Page(), r.Name)
}

// code writes a name as code, with nothing in it that has a meaning.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + prose(s) + "</code>"
}

// prose writes a text in which nothing is markup. A space of no width keeps
// GitHub from mentioning people and linking issues and addresses of mail.
func prose(s string) string { return escaped.Replace(legible.Line(legible.Clip(s, cellLimit))) }

var escaped = strings.NewReplacer(append(entities("&<>\\`*_{}[]()+-!|~:^$"), "@", entity('@')+"&#8203;", "#", entity('#')+"&#8203;", "www.", "www"+entity('.'))...)

func entity(c rune) string { return "&#" + strconv.Itoa(int(c)) + ";" }

func entities(characters string) (pairs []string) {
	for _, c := range characters {
		pairs = append(pairs, string(c), entity(c))
	}
	return pairs
}

// compared writes a number, and what it was where there is a base. A change
// too small for a percentage is written in full.
func compared(based bool, before, now int64, write func(int64) string) string {
	percent := 100 * (float64(now)/float64(before) - 1)
	by := fmt.Sprintf(" (%+.1f %%)", percent)
	switch {
	case !based || before == now:
		return write(now)
	case before == 0:
		by = ""
	case math.Abs(percent) < 0.05:
		by = fmt.Sprintf(" (%+d)", now-before)
	}
	return write(before) + " → " + write(now) + by
}

func latency(l *check.Latency) string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%.3g ms", float64(l.Median)/float64(time.Millisecond))
}

func drift(d *check.Drift) string {
	if d == nil {
		return ""
	}
	return fmt.Sprintf("%.3g", d.Relative)
}

// amount writes a count with four digits at most: 1.814 G.
func amount(n int64) string {
	digits, prefix := brief(n)
	return strings.TrimSpace(digits + " " + prefix)
}

// size writes a number of bytes: 46.83 MB.
func size(n int64) string {
	digits, prefix := brief(n)
	return digits + " " + prefix + "B"
}

// brief is legible.Scaled without zeros at the end.
func brief(n int64) (digits, prefix string) {
	digits, prefix = legible.Scaled(n)
	if strings.Contains(digits, ".") {
		digits = strings.TrimSuffix(strings.TrimRight(digits, "0"), ".")
	}
	return digits, prefix
}
