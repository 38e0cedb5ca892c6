package onnxgraph

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxProblems is how many violations [Model.Validate] collects before it stops.
const maxProblems = 100

// An InvalidError lists what is wrong with a model, in file order of its parts.
type InvalidError struct {
	File     string // the model's path
	Problems []Problem
}

// A Problem is one violation of the ONNX specification.
type Problem struct {
	At  string // the field: graph.node[12] (Conv "layer1.0.conv1")
	Msg string // what was found, and what is wanted
}

func (p Problem) String() string {
	if p.At == "" {
		return p.Msg
	}
	return p.At + ": " + p.Msg
}

// Error gives the first problem and counts the others.
func (e *InvalidError) Error() string {
	out := e.Problems[0].String()
	if e.File != "" {
		out = e.File + ": " + out
	}
	switch more := len(e.Problems) - 1; {
	case more == 1:
		out += " (and 1 more problem)"
	case len(e.Problems) == maxProblems:
		out += fmt.Sprintf(" (and at least %d more problems)", more)
	case more > 1:
		out += fmt.Sprintf(" (and %d more problems)", more)
	}
	return out
}

// Validate checks the model against the ONNX specification and returns nil or
// an [*InvalidError] with every violation found, up to 100. It takes time linear
// in the structure, reads no weights, and of external data looks only at the
// files' sizes. Operators are checked as far as their constants go: see opChecks.
// Bodies of model-local functions are not checked. A newer IR version than this
// package knows is no violation.
func (m *Model) Validate() error {
	v := &validator{model: m, badFiles: map[string]bool{}}
	v.checkModel()
	if len(v.problems) == 0 {
		return nil
	}
	return &InvalidError{m.Path, v.problems}
}

// validator collects the problems of one model.
type validator struct {
	model    *Model
	problems []Problem
	imports  map[string]bool // domains with an opset
	badFiles map[string]bool // external data files already complained about
}

func (v *validator) full() bool { return len(v.problems) >= maxProblems }

func (v *validator) addf(at, format string, args ...any) {
	if !v.full() {
		v.problems = append(v.problems, Problem{at, fmt.Sprintf(format, args...)})
	}
}

// add reports an error of a helper, without the decoration that errors of
// [Open] carry.
func (v *validator) add(at string, err error) {
	var fe *FormatError
	if errors.As(err, &fe) && fe.File == "" && fe.At == "" {
		v.addf(at, "%s", fe.Msg)
		return
	}
	v.addf(at, "%v", err)
}

func (v *validator) checkModel() {
	m := v.model
	if m.IRVersion <= 0 {
		v.addf("ir_version", "is %d or missing, want 1 or more", m.IRVersion)
	}
	v.checkText("producer_name", m.Producer)
	v.checkOpsets()
	keys := map[string]bool{}
	for i, p := range m.Metadata {
		if keys[p.Key] {
			v.addf(fmt.Sprintf("metadata_props[%d]", i), "key %s is there twice", quote(p.Key))
		}
		keys[p.Key] = true
	}
	functions := map[FunctionID]bool{}
	for i, id := range m.Functions {
		switch at := fmt.Sprintf("functions[%d]", i); {
		case id.Name == "":
			v.addf(at, "has no name")
		case functions[id]:
			v.addf(at, "function %s of domain %s is defined twice", quote(id.Name), quote(id.Domain))
		}
		functions[id] = true
	}
	v.checkGraph(m.Graph, "graph", nil)
}

func (v *validator) checkOpsets() {
	m := v.model
	v.imports = map[string]bool{}
	seen := map[string]int64{}
	for i, o := range m.Opsets {
		at := fmt.Sprintf("opset_import[%d]", i)
		if _, again := seen[o.Domain]; again {
			v.addf(at, "domain %s is imported twice (versions %d and %d)", quote(o.Domain), seen[o.Domain], o.Version)
		}
		if o.Version < 1 || o.Version > 1<<31-1 {
			v.addf(at, "version of domain %s is %d, want 1 or more", quote(o.Domain), o.Version)
		}
		v.checkText(at, o.Domain)
		seen[o.Domain] = o.Version
		v.imports[normalDomain(o.Domain)] = true
	}
	switch {
	case m.IRVersion >= 3 && len(m.Opsets) == 0:
		v.addf("opset_import", "is missing, and IR version %d needs it", m.IRVersion)
		v.imports[""] = true // said once is enough
	case m.IRVersion > 0 && m.IRVersion < 3:
		if len(m.Opsets) > 0 {
			v.addf("opset_import", "is there, and IR version %d does not know it", m.IRVersion)
		}
		v.imports[""] = true
	}
}

// normalDomain maps the long name of ONNX's own domain to the empty one.
func normalDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

func (v *validator) checkText(at, s string) {
	if !utf8.ValidString(s) {
		v.addf(at, "%s is not UTF-8", quote(s))
	}
}
