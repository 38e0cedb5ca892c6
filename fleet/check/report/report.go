// Package report writes the outcome of a check: for people, for programs, and
// for the systems that show it beside a change.
//
// Names and messages come from files of strangers. No format lets them write
// anything but text: each escapes what it gives a meaning to.
package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/fleet/check"
	"github.com/natonnx/natonnx/internal/legible"
)

// Options say how a report looks; the zero value fits a file.
type Options struct {
	Width    int  // columns of the format text; 0: lines are not broken
	Colour   bool // text: severities in the colours of ANSI terminals
	Detail   bool // text: also models without findings, and rules that were skipped
	ExitCode int  // sarif: what the program is going to exit with
}

// formats in the order in which help shows them.
var formats = []struct {
	name  string
	write func(w *bufio.Writer, r *check.Report, o Options) error
}{
	{"text", text}, {"json", document}, {"github", github}, {"junit", junit}, {"sarif", sarif}, {"markdown", markdown},
}

// Formats lists the formats that Write knows:
//
//	text      for people
//	json      docs/schema/check-v1.json describes it
//	github    workflow commands, which GitHub Actions shows as annotations
//	junit     XML as Jenkins, GitLab and others read it: a test for each rule that was checked on a model
//	sarif     SARIF 2.1.0 (OASIS), as code scanning takes it
//	markdown  a comment on a pull request, shorter than GitHub's limit
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Write writes a report in one of the Formats. Texts that are longer than 4,096
// characters end in an ellipsis.
func Write(w io.Writer, format string, r *check.Report, o Options) error {
	for _, f := range formats {
		if f.name == format {
			b := bufio.NewWriter(w)
			if err := f.write(b, shortened(r), o); err != nil {
				return err
			}
			return b.Flush()
		}
	}
	return fmt.Errorf("format %q: want one of %s", format, strings.Join(Formats(), ", "))
}

// longest is the most characters of a text; the names in a model may be as long
// as its file.
const longest = 4096

// shortened returns a copy of a report without long texts.
func shortened(r *check.Report) *check.Report {
	short := *r
	short.Results = slices.Clone(r.Results)
	for i := range short.Results {
		result := &short.Results[i]
		result.Path = legible.Clip(result.Path, longest)
		result.Findings = slices.Clone(result.Findings)
		for j := range result.Findings {
			f := &result.Findings[j]
			for _, s := range []*string{&f.Path, &f.Where, &f.Message, &f.Wanted, &f.Found} {
				*s = legible.Clip(*s, longest)
			}
		}
		result.Skipped = slices.Clone(result.Skipped)
		for j := range result.Skipped {
			result.Skipped[j].Reason = legible.Clip(result.Skipped[j].Reason, longest)
		}
		if m := result.Measures; m != nil && m.Drift != nil {
			measures, drift := *m, *m.Drift
			drift.Against = legible.Clip(drift.Against, longest)
			measures.Drift, result.Measures = &drift, &measures
		}
	}
	return &short
}

// rule finds a rule by its ID. One that this version does not know has only that.
func rule(id string) check.Rule {
	if i := ruleIndex(id); i >= 0 {
		return check.Rules[i]
	}
	return check.Rule{ID: id, Name: "unknown"}
}

func ruleIndex(id string) int {
	return slices.IndexFunc(check.Rules, func(r check.Rule) bool { return r.ID == id })
}

// title names a rule for people: NAT007 multiply-adds.
func title(id string) string { return id + " " + rule(id).Name }

// gravest returns the findings of a result, errors first.
func gravest(findings []check.Finding) []check.Finding {
	list := slices.Clone(findings)
	slices.SortStableFunc(list, func(a, b check.Finding) int { return grade(b.Severity) - grade(a.Severity) })
	return list
}

func grade(s check.Severity) int {
	switch {
	case s.AtLeast(check.Error):
		return 2
	case s.AtLeast(check.Warning):
		return 1
	}
	return 0
}

// count counts findings by severity.
func count(findings []check.Finding) (c check.Counts) {
	for _, f := range findings {
		switch grade(f.Severity) {
		case 2:
			c.Errors++
		case 1:
			c.Warnings++
		default:
			c.Notes++
		}
	}
	return c
}

// counted writes how many findings there are: 2 errors, 1 note.
func counted(c check.Counts) string {
	var parts []string
	for _, part := range []struct {
		n     int
		thing string
	}{{c.Errors, "error"}, {c.Warnings, "warning"}, {c.Notes, "note"}} {
		if part.n > 0 {
			parts = append(parts, legible.Plural(part.n, part.thing))
		}
	}
	if parts == nil {
		return "no findings"
	}
	return strings.Join(parts, ", ")
}

// summary is the outcome in one line.
func summary(r *check.Report) string {
	verdict := "passed"
	if r.Failed() {
		verdict = "failed"
	}
	s := fmt.Sprintf("%s: %s in %s", verdict, counted(r.Counts), legible.Plural(len(r.Results), "model"))
	if r.Counts.Skipped > 0 {
		s += "; " + legible.Plural(r.Counts.Skipped, "check") + " could not be made"
	}
	return s
}
