package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/transformer"
)

func (s *subject) opset() error {
	s.within("opset_import", "the opset", s.model.OpsetVersion(), s.set.MinOpset, s.set.MaxOpset)
	return nil
}

func (s *subject) irVersion() error {
	s.within("ir_version", "the IR version", s.model.IRVersion, s.set.MinIRVersion, s.set.MaxIRVersion)
	return nil
}

// within reports a number outside of bounds, of which 0 is none.
func (s *subject) within(where, what string, n, least, most int64) {
	switch {
	case least > 0 && n < least:
		s.found(where, fmt.Sprintf("%d or more", least), fmt.Sprint(n), "%s is %d, want %d or more", what, n, least)
	case most > 0 && n > most:
		s.found(where, fmt.Sprintf("%d or less", most), fmt.Sprint(n), "%s is %d, want %d or less", what, n, most)
	}
}

func (s *subject) parameters() error {
	s.budget("parameters", "", s.set.MaxParams, func(x *subject) int64 { return x.cost.Params })
	return nil
}

// multiplyAdds is skipped where the sum leaves out nodes and keeps the budget
// only for that.
func (s *subject) multiplyAdds() error {
	if !s.budget("multiply-adds", "", s.set.MaxMAdds, func(x *subject) int64 { return x.cost.MAdds }) {
		s.incomplete()
	}
	return nil
}

func (s *subject) activationMemory() error {
	if !s.budget("bytes of activation memory", "", s.set.MaxMemory, func(x *subject) int64 { return x.cost.PeakActivation }) {
		s.incomplete()
	}
	return nil
}

func (s *subject) incomplete() {
	if n := s.cost.Unknown; len(n) > 0 {
		s.skip("the cost of %s is not known, nor that of %d others: it may be over the budget", n[0], len(n)-1)
	}
}

func (s *subject) fileSize() error {
	s.budget("bytes", "with external data", s.set.MaxSize, func(x *subject) int64 { return x.result.Measures.FileBytes })
	return nil
}

// budget reports a cost that is over its budget. It returns whether that is
// all there is to say.
func (s *subject) budget(what, note string, b Budget, cost func(*subject) int64) bool {
	is, limit, whose := cost(s), b.Number, ""
	if b.Percent > 0 {
		if !s.based() {
			return true
		}
		limit = int64(float64(cost(s.base)) * b.Percent / 100)
		whose = fmt.Sprintf(" (%v%% of the base's %s)", b.Percent, grouped(cost(s.base)))
	}
	if note != "" {
		note = " " + note
	}
	if is > limit {
		s.found("", fmt.Sprintf("%d or less", limit), fmt.Sprint(is), "%s %s%s, the budget is %s%s", grouped(is), what, note, grouped(limit), whose)
	}
	return is > limit
}

// grouped writes a number with its thousands apart: 1,814,073,344.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// noOps reports nodes whose output is their input. One that gives an input or a
// constant the name of an output is needed.
func (s *subject) noOps() error {
	g, index := s.model.Graph, s.model.Graph.Index()
	for _, n := range g.Nodes {
		why := s.noOp(n)
		if why == "" || len(n.Outputs) == 0 {
			continue
		}
		_, leaves := index.Output[n.Outputs[0]]
		_, shared := index.Output[n.Input(0)]
		if leaves && (shared || index.Producer[n.Input(0)] == nil) {
			continue
		}
		s.found(n.String(), "", "", "%s", why)
	}
	return nil
}

// noOp says why a node does nothing, or "".
func (s *subject) noOp(n *onnxgraph.Node) string {
	types := s.cells.Types
	in := types.Of(n.Input(0))
	switch {
	case n.Is("Identity"):
		return "passes its input on"
	case n.Is("Dropout") && len(n.Outputs) < 2 && !s.trains(n):
		return "drops nothing in inference"
	case n.Is("Cast") && in.Elem != onnxgraph.Undefined && int64(in.Elem) == n.Int("to", 0):
		return fmt.Sprintf("casts %v to itself", in.Elem)
	case n.Is("Transpose") && isIdentity(n.Ints("perm")):
		return "keeps the order of the dimensions"
	case n.Is("Concat", "Sum", "Max", "Min", "Mean") && len(n.Inputs) == 1:
		return "has one operand, which it passes on"
	case n.Is("Reshape", "Expand") && in.Shape.Equal(types.Of(n.Outputs[0]).Shape):
		return fmt.Sprintf("keeps the shape, %v", in.Shape)
	}
	return ""
}

// trains reports whether a Dropout may drop: since opset 12 an input says so,
// before opset 7 an attribute.
func (s *subject) trains(n *onnxgraph.Node) bool {
	if v := s.model.OpsetVersion(); v < 7 {
		return n.Int("is_test", 0) == 0
	}
	return n.Input(2) != "" && !isFalse(s.model.Graph.Constant(n.Input(2)))
}

func isFalse(t *onnxgraph.Tensor) bool {
	if t == nil || t.Type != onnxgraph.Bool {
		return false
	}
	b, err := t.Raw()
	return err == nil && len(b) == 1 && b[0] == 0
}

func isIdentity(perm []int64) bool {
	for i, p := range perm {
		if p != int64(i) {
			return false
		}
	}
	return len(perm) > 0
}

// unused reports what does not contribute to any output.
func (s *subject) unused() error {
	g, index := s.model.Graph, s.model.Graph.Index()
	reached := map[string]bool{}
	for _, v := range g.Outputs {
		reached[v.Name] = true
	}
	var dead []*onnxgraph.Node
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(out string) bool { return reached[out] }) {
			dead = append(dead, n)
			continue
		}
		for _, in := range slices.Concat(n.Inputs, n.Captures) {
			reached[in] = true
		}
	}
	for _, n := range slices.Backward(dead) {
		s.found(n.String(), "", "", "no output needs it")
	}
	for i, t := range g.Initializers {
		if !reached[t.Name] {
			s.found(initializer(i, t), "", "", "no output needs it%s", readByDead(index, t.Name))
		}
	}
	for i, v := range g.Inputs {
		if !reached[v.Name] && index.Initializer[v.Name] == nil {
			s.found(fmt.Sprintf("graph.input[%d] %q", i, v.Name), "", "", "no output needs it%s", readByDead(index, v.Name))
		}
	}
	return nil
}

func readByDead(index *onnxgraph.Index, name string) string {
	if len(index.Consumers[name]) > 0 {
		return ", only nodes that are unused themselves"
	}
	return ""
}

func initializer(i int, t *onnxgraph.Tensor) string {
	return fmt.Sprintf("graph.initializer[%d] %q", i, t.Name)
}

// redundant reports what the policy would take out of the cells: with the
// built-in one, what natonnx plan shows by default.
func (s *subject) redundant() error {
	if len(s.cells.Cells) == 0 {
		return nil
	}
	plan, err := transformer.Choose(s.ctx, s.cells, transformer.Options{Policy: s.Policy, Rules: transformer.NAT, Samples: 10})
	if err != nil {
		if s.ctx.Err() == nil {
			s.skip("%v", err)
		}
		return s.ctx.Err()
	}
	for _, m := range plan.Moves {
		if old := m.Old(); old.Op.Class() == cellmap.ClassOther && len(old.Nodes) > 0 {
			s.found(old.Nodes[0].String(), "", "", "the policy %s would replace %s in cell %s by %s, saving %s multiply-adds and %s parameters",
				s.Policy.Card().Name, old.Op, m.Cell.Name, strings.TrimSuffix(string(m.To), "_connect"), grouped(m.MAdds), grouped(m.Params))
		}
	}
	return nil
}

func (s *subject) requiredMetadata() error {
	for _, key := range s.set.RequiredMetadata {
		value, ok := s.property(key)
		switch {
		case !ok:
			s.found("metadata_props", key, "", "has no key %q", key)
		case value == "":
			s.found("metadata_props", key, "", "the value of %q is empty", key)
		}
	}
	return nil
}

// property returns an entry of the metadata.
func (s *subject) property(key string) (string, bool) {
	for _, p := range s.model.Metadata {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

func (s *subject) retrain() error {
	if value, _ := s.property("natonnx.retrain"); value == "required" {
		s.found("metadata_props", "", "required", "natonnx.retrain is required: the network was rewritten, and computes something else until it is trained again")
	}
	return nil
}

// nodeNames reports each name that several nodes share, and once all nodes
// without one.
func (s *subject) nodeNames() error {
	first := map[string]*onnxgraph.Node{}
	var nameless []*onnxgraph.Node
	for _, n := range s.model.Graph.Nodes {
		switch before := first[n.Name]; {
		case n.Name == "":
			nameless = append(nameless, n)
		case before != nil:
			s.found(n.String(), "", n.Name, "has the name of graph.node[%d]", before.Index)
		default:
			first[n.Name] = n
		}
	}
	if len(nameless) > 0 {
		s.found(nameless[0].String(), "", "", "%d of %d nodes have no name", len(nameless), len(s.model.Graph.Nodes))
	}
	return nil
}

// operators reports, once each, operators that are not ONNX's or not in the
// opset. Functions of the model are its own.
func (s *subject) operators() error {
	known := map[string]bool{}
	for _, f := range s.model.Functions {
		known[f.Domain+"::"+f.Name] = true
	}
	s.operatorsOf(s.model.Graph, known)
	return nil
}

func (s *subject) operatorsOf(g *onnxgraph.Graph, said map[string]bool) {
	for _, n := range g.Nodes {
		if key := n.Domain + "::" + n.OpType; !said[key] {
			said[key] = true
			s.operator(n)
		}
		for _, sub := range n.Subgraphs() {
			s.operatorsOf(sub, said)
		}
	}
}

func (s *subject) operator(n *onnxgraph.Node) {
	where := fmt.Sprintf("graph.node[%d] (%s %q)", n.Index, n.OpType, n.Name)
	opset := s.model.OpsetVersion()
	first, known := firstOpsets[n.OpType]
	switch {
	case n.Domain != "" && slices.Contains(ownDomains, n.Domain), slices.Contains(s.set.AllowedDomains, n.Domain):
	case n.Domain != "":
		s.found(where, "", n.Domain, "domain %q is none of ONNX's, and is not allowed", n.Domain)
	case !known && opset > newestOpset:
		s.skip("whether opset %d has %s is not known here, which knows %d", opset, n.OpType, newestOpset)
	case !known:
		s.found(where, "", n.OpType, "ONNX has no operator %s", n.OpType)
	case opset > 0 && opset < first:
		s.found(where, fmt.Sprintf("opset %d or more", first), fmt.Sprintf("opset %d", opset), "%s came with opset %d, the model imports %d", n.OpType, first, opset)
	}
}

// weightTypes reports weights of a type that is not allowed, by the type.
func (s *subject) weightTypes() error {
	count, first := map[string]int{}, map[string]string{}
	var order []string
	for _, t := range s.model.Parameters(s.cells.Types) {
		name := t.Type.String()
		if s.set.WeightTypes == nil && t.Type != onnxgraph.Float64 || slices.Contains(s.set.WeightTypes, name) {
			continue
		}
		if count[name]++; count[name] == 1 {
			order, first[name] = append(order, name), t.Name
		}
	}
	wanted := strings.Join(s.set.WeightTypes, ", ")
	for _, name := range order {
		more := ""
		if n := count[name] - 1; n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		message := fmt.Sprintf("weight %q%s: %s", first[name], more, name)
		if wanted == "" {
			message += ", which doubles memory and time and is mostly an accident"
		} else {
			message += ", want " + wanted
		}
		s.found("graph.initializer", wanted, name, "%s", message)
	}
	return nil
}

func weightTypes(list []string) error {
	var known []string
	for t := onnxgraph.Float32; t.Known(); t++ {
		known = append(known, t.String())
	}
	for _, name := range list {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s is no element type%s", name, suggestion(name, known))
		}
	}
	return nil
}

// batch looks at the first dimension of every input.
func (s *subject) batch() error {
	for i, v := range s.model.Graph.RealInputs() {
		where := fmt.Sprintf("graph.input[%d] %q", i, v.Name)
		if v.Type.Kind != "tensor" || v.Type.Shape == nil {
			s.skip("%s has no shape", where)
			continue
		}
		if len(v.Type.Shape) == 0 {
			continue // a scalar has no batch
		}
		switch fixed := v.Type.Shape[0].Known(); {
		case fixed && s.set.Batch == "dynamic":
			s.found(where, "dynamic", v.Type.Shape[0].String(), "the batch is fixed to %v (%v), want a symbol", v.Type.Shape[0], v.Type.Shape)
		case !fixed && s.set.Batch == "fixed":
			s.found(where, "fixed", v.Type.Shape[0].String(), "the batch is open (%v), want a number", v.Type.Shape)
		}
	}
	return nil
}
