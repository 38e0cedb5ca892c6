package check

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A subject is a file while it is checked.
type subject struct {
	ctx context.Context
	*runner
	set      *Settings
	name     string
	rule     Rule // that is being checked
	severity Severity
	skipped  bool // in part or as a whole
	result   Result

	stream     bool   // the model comes from no file
	unreadable string // why there is no model
	model      *onnxgraph.Model
	problems   []onnxgraph.Problem // of the specification
	cells      *cellmap.Map        // nil where the graph is not valid
	cost       *onnxgraph.Cost
	scanned    *scan // of the weights; nil until a rule asks

	base      *subject // nil: none
	baseError string   // why there is none
	broken    bool     // there is one that cannot be used
}

// found adds a finding about the whole file, or one place in it.
func (s *subject) found(where, wanted, found, format string, args ...any) {
	s.result.Findings = append(s.result.Findings, Finding{
		Rule: s.rule.ID, Severity: s.severity, Path: s.name, Where: where,
		Message: fmt.Sprintf(format, args...), Wanted: wanted, Found: found,
	})
}

// skip says that the rule could not be checked.
func (s *subject) skip(format string, args ...any) {
	s.skipped = true
	reason := fmt.Sprintf(format, args...)
	if s.set.Strict {
		s.found("", "", "", "could not be checked: %s", reason)
		return
	}
	s.result.Skipped = append(s.result.Skipped, Skip{s.rule.ID, reason})
}

// open reads the file. What is wrong with it is kept for the rules; an error is
// the context's.
func (s *subject) open(f File) (err error) {
	if f.Data != nil {
		s.stream = true
		s.model, err = onnxgraph.Parse(f.Path, f.Data)
	} else {
		s.model, err = onnxgraph.Open(f.Path)
	}
	if err != nil {
		s.unreadable = s.without(err)
		s.result.Err = notFormat(err)
	}
	s.result.Digest = s.digest(f)
	if s.ctx.Err() != nil || s.model == nil {
		return s.ctx.Err()
	}
	s.validate()
	s.measure()
	return nil
}

// digest returns the SHA-256 of the file, or "" where it cannot be read.
func (s *subject) digest(f File) string {
	var data io.Reader = bytes.NewReader(f.Data)
	if f.Data == nil {
		if info, err := os.Stat(f.Path); err != nil || !info.Mode().IsRegular() {
			return "" // a pipe would wait for somebody to write
		}
		file, err := os.Open(f.Path)
		if err != nil {
			return ""
		}
		defer file.Close()
		data = file
	}
	h := sha256.New()
	if _, err := io.Copy(h, &interrupted{s.ctx, data}); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// notFormat returns an error that does not say that the file is no model.
func notFormat(err error) error {
	var format *onnxgraph.FormatError
	if errors.As(err, &format) {
		return nil
	}
	return err
}

// without words an error without the path, which every finding has.
func (s *subject) without(err error) string {
	var format *onnxgraph.FormatError
	if path, ok := err.(*fs.PathError); ok {
		return path.Err.Error()
	}
	switch {
	case errors.As(err, &format) && format.At != "":
		return format.At + ": " + format.Msg
	case errors.As(err, &format):
		return format.Msg
	}
	return strings.TrimPrefix(err.Error(), s.name+": ")
}

// validate collects what is wrong with a model that could be decoded.
func (s *subject) validate() {
	var invalid *onnxgraph.InvalidError
	if errors.As(s.model.Validate(), &invalid) {
		s.problems = invalid.Problems
	}
	for _, p := range s.problems {
		if ruleOf(p) == valid {
			return
		}
	}
	s.cells = cellmap.Lift(s.model)
	s.cost = s.model.Cost(s.cells.Types)
}

// ruleOf returns the rule that a violation of the specification belongs to.
func ruleOf(p onnxgraph.Problem) string {
	switch {
	case strings.HasPrefix(p.Msg, "external data "):
		return external
	case strings.HasPrefix(p.At, "metadata_props["):
		return metadata
	}
	return valid
}

func (s *subject) measure() {
	m := &Measures{IRVersion: s.model.IRVersion, Opset: s.model.OpsetVersion(), Nodes: len(s.model.Graph.Nodes), FileBytes: s.model.Size() + s.externalBytes()}
	if s.cost != nil {
		m.Params, m.MAdds, m.ActivationBytes = s.cost.Params, s.cost.MAdds, s.cost.PeakActivation
		m.BatchAssumed, m.UnknownNodes = s.cost.BatchAssumed, len(s.cost.Unknown)
	}
	s.result.Measures = m
}

// externalBytes sums the sizes of the data files that are there.
func (s *subject) externalBytes() (sum int64) {
	for _, location := range DataFiles(s.model) {
		if info, err := os.Stat(filepath.Join(filepath.Dir(s.model.Path), location)); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
	}
	return sum
}

// DataFiles lists the external data files that a model names, each once,
// relative to its folder; those outside of the folder are left out.
func DataFiles(m *onnxgraph.Model) (list []string) {
	seen := map[string]bool{}
	for _, t := range m.Graph.Initializers {
		if t.External == nil || seen[t.External.Location] {
			continue
		}
		seen[t.External.Location] = true
		if local := filepath.FromSlash(t.External.Location); filepath.IsLocal(local) {
			list = append(list, local)
		}
	}
	return list
}

// lacks says why a rule with such needs cannot be checked, or "".
func (s *subject) lacks(n need) string {
	worst := nothing
	for _, p := range s.problems {
		switch ruleOf(p) {
		case valid:
			worst = max(worst, graph)
		case external:
			if worst != graph {
				worst = weights
			}
		}
	}
	switch {
	case n == nothing:
	case s.model == nil:
		return "there is no model"
	case n >= graph && worst == graph:
		return "the model is invalid"
	case n == weights && worst == weights:
		return "external data are missing"
	}
	return ""
}

// openBase opens what the file is compared with.
func (s *subject) openBase(path string) {
	b := &subject{ctx: s.ctx, runner: s.runner, set: s.set, name: filepath.ToSlash(path)}
	b.result.Path = b.name
	switch err := b.open(File{Path: path}); {
	case err != nil:
	case b.unreadable != "":
		s.broken, s.baseError = true, "the base "+b.name+" cannot be read: "+b.unreadable
	case b.lacks(graph) != "":
		s.broken, s.baseError = true, "the base "+b.name+" is invalid"
	default:
		s.base = b
	}
}

// interrupted is a reader that ends with a context.
type interrupted struct {
	ctx context.Context
	r   io.Reader
}

func (i *interrupted) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

func (s *subject) isReadable() error {
	if s.unreadable != "" {
		s.found("", "", "", "%s", s.unreadable)
	}
	return nil
}

func (s *subject) isValid() error           { s.violations(); return nil }
func (s *subject) hasExternalData() error   { s.violations(); return nil }
func (s *subject) duplicateMetadata() error { s.violations(); return nil }

// violations reports the violations of the specification that belong to the rule.
func (s *subject) violations() {
	for _, p := range s.problems {
		if ruleOf(p) == s.rule.ID {
			s.found(p.At, "", "", "%s", p.Msg)
		}
	}
}
