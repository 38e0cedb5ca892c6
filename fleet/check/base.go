package check

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// based reports whether there is a base to compare with. One that is asked for
// and cannot be used is a skip where the model is new, and else a finding: a
// broken base must not let a change pass.
func (s *subject) based() bool {
	switch {
	case s.base != nil:
		return true
	case s.broken:
		s.found("", "", "", "%s", s.baseError)
	default:
		s.skip("%s", s.baseError)
	}
	return false
}

// sameInterface compares what users of the model see.
func (s *subject) sameInterface() error {
	if !s.based() {
		return nil
	}
	s.sameValues("input", s.base.model.Graph.RealInputs(), s.model.Graph.RealInputs())
	s.sameValues("output", s.base.model.Graph.Outputs, s.model.Graph.Outputs)
	if was, is := s.base.model.OpsetVersion(), s.model.OpsetVersion(); was != is {
		s.found("opset_import", fmt.Sprint(was), fmt.Sprint(is), "the opset was %d and is %d", was, is)
	}
	return nil
}

func (s *subject) sameValues(what string, before, after []*onnxgraph.Value) {
	named := func(list []*onnxgraph.Value, name string) int {
		return slices.IndexFunc(list, func(v *onnxgraph.Value) bool { return v.Name == name })
	}
	moved := false
	for i, was := range before {
		where := fmt.Sprintf("graph.%s[%d] %q", what, i, was.Name)
		j := named(after, was.Name)
		if j < 0 {
			s.found(where, typeText(was.Type), "", "the %s is gone", what)
			continue
		}
		moved = moved || i != j
		if w, f := typeText(was.Type), typeText(after[j].Type); w != f {
			s.found(where, w, f, "the %s was %s and is %s", what, w, f)
		}
	}
	for i, is := range after {
		if named(before, is.Name) < 0 {
			s.found(fmt.Sprintf("graph.%s[%d] %q", what, i, is.Name), "", typeText(is.Type), "the %s is new", what)
		}
	}
	if moved && len(before) == len(after) {
		s.found("graph."+what, names(before), names(after), "the order of the %ss was %s and is %s", what, names(before), names(after))
	}
}

func names(list []*onnxgraph.Value) string {
	s := ""
	for i, v := range list {
		if i > 0 {
			s += ", "
		}
		s += v.Name
	}
	return s
}

// typeText writes a type as users do: float32 batchx3x224x224.
func typeText(t onnxgraph.Type) string {
	switch {
	case t.Kind != "tensor":
		return t.Kind
	case t.Shape == nil:
		return t.Elem.String() + " of any shape"
	case len(t.Shape) == 0:
		return t.Elem.String() + " scalar"
	}
	return fmt.Sprintf("%v %v", t.Elem, t.Shape)
}

// growth compares costs.
func (s *subject) growth() error {
	if !s.based() {
		return nil
	}
	if s.cost == nil || s.base.cost == nil {
		s.skip("the cost is not known")
		return nil
	}
	was, is, most := s.base.result.Measures, s.result.Measures, *s.set.MaxGrowth
	for _, c := range []struct {
		what    string
		was, is int64
	}{
		{"parameters", was.Params, is.Params}, {"multiply-adds", was.MAdds, is.MAdds},
		{"activation memory", was.ActivationBytes, is.ActivationBytes}, {"file size", was.FileBytes, is.FileBytes},
	} {
		limit := float64(c.was) * (1 + most/100)
		if float64(c.is) <= limit {
			continue
		}
		by := "grew from nothing"
		if c.was > 0 {
			by = fmt.Sprintf("grew by %.1f%%", 100*(float64(c.is)/float64(c.was)-1))
		}
		s.found("", fmt.Sprintf("%d or less", int64(limit)), fmt.Sprint(c.is), "%s %s, from %s to %s; %v%% are allowed", c.what, by, grouped(c.was), grouped(c.is), most)
	}
	return nil
}
