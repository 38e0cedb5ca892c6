package report

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/natonnx/natonnx/fleet/check"
	"github.com/natonnx/natonnx/internal/legible"
)

// The elements of a JUnit report, as the schema junit-10.xsd of Jenkins' xUnit
// plugin has them; GitLab and others read the same.
type (
	testSuites struct {
		XMLName  xml.Name    `xml:"testsuites"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Suites   []testSuite `xml:"testsuite"`
	}
	testSuite struct {
		Name     string     `xml:"name,attr"`
		File     string     `xml:"file,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	testCase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Skipped *outcome `xml:"skipped"`
		Failure *outcome `xml:"failure"`
		Output  string   `xml:"system-out,omitempty"`
	}
	outcome struct {
		Type    string `xml:"type,attr,omitempty"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junit writes a suite for each model, in which every rule that applies is a
// test. A rule fails where it has a finding that fails the run; lesser findings
// are the test's output.
func junit(w *bufio.Writer, r *check.Report, _ Options) error {
	all := testSuites{Name: "natonnx check"}
	for i := range r.Results {
		s := newTestSuite(&r.Results[i], r.FailOn)
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Suites = append(all.Suites, s)
	}
	w.WriteString(xml.Header)
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	return w.WriteByte('\n')
}

func newTestSuite(r *check.Result, failOn check.Severity) testSuite {
	s := testSuite{Name: r.Path, File: r.Path}
	for _, id := range rulesOf(r) {
		c := newTestCase(r, id, failOn)
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Skipped != nil:
			s.Skipped++
		}
		s.Cases = append(s.Cases, c)
	}
	s.Tests = len(s.Cases)
	return s
}

// rulesOf lists the rules that a result speaks of, in their order.
func rulesOf(r *check.Result) (ids []string) {
	spoken := map[string]bool{}
	for _, id := range r.Checked {
		spoken[id] = true
	}
	for _, f := range r.Findings {
		spoken[f.Rule] = true
	}
	for _, s := range r.Skipped {
		spoken[s.Rule] = true
	}
	for _, rule := range check.Rules {
		if spoken[rule.ID] {
			ids = append(ids, rule.ID)
		}
	}
	return ids
}

func newTestCase(r *check.Result, id string, failOn check.Severity) testCase {
	c := testCase{Class: r.Path, Name: title(id)}
	var failures, others, skips []string
	for _, f := range r.Findings {
		switch {
		case f.Rule != id:
		case f.Severity.AtLeast(failOn):
			failures = append(failures, finding(f))
		default:
			others = append(others, finding(f))
		}
	}
	for _, s := range r.Skipped {
		if s.Rule == id {
			skips = append(skips, legible.Line(s.Reason))
		}
	}
	switch {
	case failures != nil:
		c.Failure = newOutcome(rule(id).Name, append(failures, others...))
		others = nil
	case skips != nil:
		c.Skipped = newOutcome("", skips)
	}
	c.Output = strings.Join(others, "\n")
	return c
}

// newOutcome has the first line as its message, which is all that overviews show.
func newOutcome(kind string, lines []string) *outcome {
	message := lines[0]
	if len(lines) > 1 {
		message += fmt.Sprintf(" (and %d more)", len(lines)-1)
	}
	return &outcome{kind, message, strings.Join(lines, "\n")}
}

// finding is a finding on one line, without its rule.
func finding(f check.Finding) string {
	s := f.Message
	if f.Where != "" {
		s = f.Where + ": " + s
	}
	return legible.Line(s)
}
