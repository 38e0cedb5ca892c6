// Package check holds ONNX files to rules: that they are valid, within budgets,
// computing what a base computes, and free of what should not be shipped.
//
// A Config says which rules apply and with which thresholds; Run checks files
// and returns a Report, which package report writes in several formats.
package check

import (
	"time"
)

// A Severity says how much a finding matters.
type Severity string

// The severities, from none to the gravest. A rule that is Off does not run.
const (
	Off     Severity = "off"
	Note    Severity = "note"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// severities in ascending order.
var severities = []Severity{Off, Note, Warning, Error}

// AtLeast reports whether s is as grave as t.
func (s Severity) AtLeast(t Severity) bool { return s.rank() >= t.rank() }

func (s Severity) rank() int {
	for i, t := range severities {
		if s == t {
			return i
		}
	}
	return 0
}

// A Rule is one thing that is checked.
type Rule struct {
	ID       string   // NAT001; never given to another rule
	Name     string   // kebab-case
	Severity Severity // unless a Config says otherwise
	Summary  string   // one line: what it finds
	Fix      string   // one line: what to do about it
}

// Page returns the path of the rule's page within the repository.
func (r Rule) Page() string { return "docs/rules/" + r.ID + ".md" }

// A Finding is one violation of a rule.
type Finding struct {
	Rule     string   `json:"rule"` // the ID
	Severity Severity `json:"severity"`
	Path     string   `json:"path"`  // as the caller named the file, with slashes
	Where    string   `json:"where"` // a place in the model: graph.node[12] (Conv "stem"); "" for the whole file
	Message  string   `json:"message"`
	Wanted   string   `json:"wanted"` // "" where there is nothing to compare
	Found    string   `json:"found"`
}

// A Skip is a rule that applies and yet could not be checked.
type Skip struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

// Measures is what was measured on a model. Counts are for a batch of 1 where
// BatchAssumed says so.
type Measures struct {
	IRVersion       int64    `json:"ir_version"`
	Opset           int64    `json:"opset"` // of ONNX's own operators; 0: not imported
	Nodes           int      `json:"nodes"`
	Params          int64    `json:"params"`
	MAdds           int64    `json:"multiply_adds"`
	ActivationBytes int64    `json:"activation_bytes"` // the peak
	FileBytes       int64    `json:"file_bytes"`       // with external data
	BatchAssumed    bool     `json:"batch_assumed_1"`
	UnknownNodes    int      `json:"nodes_of_unknown_cost"` // left out of the sums
	Latency         *Latency `json:"latency"`               // nil: not measured
	Drift           *Drift   `json:"drift"`                 // from the base; nil: not measured
}

// A Latency is how long single runs took, on natonnx's own engine.
type Latency struct {
	Runs   int           `json:"runs"`
	Batch  int           `json:"batch"`
	Cores  int           `json:"cores"`
	Median time.Duration `json:"median_ns"`
	P90    time.Duration `json:"p90_ns"`
}

// A Drift is how far the outputs are from those of the base on seeded probe
// inputs.
type Drift struct {
	Against  string  `json:"against"` // the base's path
	Inputs   int     `json:"inputs"`  // how many probes
	Seed     uint64  `json:"seed"`
	MaxAbs   float64 `json:"max_abs"`
	Relative float64 `json:"relative"` // |a - b| / |b| in the Euclidean norm
}

// A Result is what was found in one file.
type Result struct {
	Path     string    `json:"path"`     // as the caller named it, with slashes; "<stdin>" for standard input
	Digest   string    `json:"sha256"`   // of the file, without external data; "" where it cannot be read
	Measures *Measures `json:"measures"` // nil where the file is no model
	Base     *Measures `json:"base"`     // of the base; nil where there is none
	Findings []Finding `json:"findings"` // by rule, and in the model's order within one
	Checked  []string  `json:"checked"`  // the rules that were checked to the end, with findings or without
	Skipped  []Skip    `json:"skipped"`
	Err      error     `json:"-"` // why the file could not be read; nil where it was, and is no model
}

// A Counts says how many findings there are.
type Counts struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Notes    int `json:"notes"`
	Skipped  int `json:"skipped"` // rules that could not be checked
}

// A Report is the outcome of a run, in the order of the files.
type Report struct {
	Tool    string   `json:"tool"` // "natonnx"
	Version string   `json:"version"`
	FailOn  Severity `json:"fail_on"` // the least severity that fails a run
	Counts  Counts   `json:"counts"`
	Results []Result `json:"results"`
}

// Failed reports whether a finding is as grave as FailOn.
func (r *Report) Failed() bool {
	for _, result := range r.Results {
		if result.Failed(r.FailOn) {
			return true
		}
	}
	return false
}

// Failed reports whether a finding is as grave as failOn.
func (r *Result) Failed(failOn Severity) bool {
	for _, f := range r.Findings {
		if f.Severity.AtLeast(failOn) {
			return true
		}
	}
	return false
}
