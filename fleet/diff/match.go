package diff

import (
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A match says which nodes, tensors, inputs and outputs of two graphs belong
// together.
type match struct {
	a, b    *side
	ab, ba  []int             // the node of the other side, or -1
	tensors map[string]string // a's name -> b's
	inputs  map[string]string
	outputs map[int]int       // by index
	results map[string]string // outputs by name
}

// bestMatch matches two graphs in both orders and returns the match that leaves
// fewer differences; of equals the one with fewer renames.
func bestMatch(g, h *onnxgraph.Graph) *match {
	a, b := newSide(g), newSide(h)
	inputs, outputs := pairPorts(a.inputs, b.inputs), pairPorts(g.Outputs, h.Outputs)
	c := classes{}
	a.classify(c, numbered(a.inputs, nil), numbered(g.Outputs, nil))
	b.classify(c, numbered(b.inputs, inputs), numbered(h.Outputs, outputs))

	byName := newMatch(a, b, inputs, outputs, true)
	edits, renames := byName.distance()
	if edits == 0 && renames == 0 {
		return byName
	}
	byStructure := newMatch(a, b, inputs, outputs, false)
	if e, r := byStructure.distance(); e < edits || e == edits && r < renames {
		return byStructure
	}
	return byName
}

// numbered numbers values by their place, or by that of their partner in
// pairs, which maps the other side's places to these. Those without a partner
// have numbers that no other has.
func numbered(list []*onnxgraph.Value, pairs map[int]int) map[string]int {
	numbers := map[string]int{}
	for i, v := range list {
		numbers[v.Name] = i
		if pairs != nil {
			numbers[v.Name] = -1 - i
		}
	}
	for i, j := range pairs {
		numbers[list[j].Name] = i
	}
	return numbers
}

func newMatch(a, b *side, inputs, outputs map[int]int, namesFirst bool) *match {
	m := &match{a: a, b: b, ab: slices.Repeat([]int{-1}, len(a.nodes)), ba: slices.Repeat([]int{-1}, len(b.nodes)),
		tensors: map[string]string{}, inputs: map[string]string{}, outputs: outputs, results: map[string]string{}}
	for i, j := range inputs {
		m.inputs[a.inputs[i].Name] = b.inputs[j].Name
	}
	for i, j := range outputs {
		m.results[a.graph.Outputs[i].Name] = b.graph.Outputs[j].Name
	}
	if namesFirst {
		m.byName(m.sameOperator)
	}
	m.byStructure()
	m.align()
	m.byNeighbours(m.sameOperator)
	m.byName(m.sameOperator)
	m.byName(anyOperator)
	m.byNeighbours(m.sandwiched)
	m.pairTensors()
	return m
}

func (m *match) pair(i, j int) { m.ab[i], m.ba[j] = j, i }

func (m *match) sameOperator(i, j int) bool {
	x, y := m.a.nodes[i], m.b.nodes[j]
	return x.OpType == y.OpType && x.Domain == y.Domain
}

func anyOperator(int, int) bool { return true }

// sandwiched reports whether some reader of node i belongs to one of node j, and
// both read as many values, constants in the same places: then the one took the
// place of the other, given that they read the same.
func (m *match) sandwiched(i, j int) bool {
	if !slices.EqualFunc(m.a.reads[i], m.b.reads[j], func(x, y string) bool { return (m.a.tensor[x] == nil) == (m.b.tensor[y] == nil) }) {
		return false
	}
	for k, value := range m.a.nodes[i].Outputs {
		if k >= len(m.b.nodes[j].Outputs) {
			return false
		}
		other := m.b.nodes[j].Outputs[k]
		for _, u := range m.a.uses[value] {
			if r := m.ab[u.node]; r >= 0 && m.b.read(r, u.slot) == other {
				return true
			}
		}
		if result, ok := m.results[value]; ok && result == other {
			return true
		}
	}
	return false
}

// byName pairs the nodes whose name occurs once on each side.
func (m *match) byName(ok func(i, j int) bool) {
	once := func(names []string) map[string]int {
		at := map[string]int{}
		for i, name := range names {
			if _, twice := at[name]; twice || name == "" {
				i = -1
			}
			at[name] = i
		}
		return at
	}
	at, other := once(m.a.names), once(m.b.names)
	for i, name := range m.a.names {
		j, found := other[name]
		if found && j >= 0 && at[name] >= 0 && m.ab[i] < 0 && m.ba[j] < 0 && ok(i, j) {
			m.pair(i, j)
		}
	}
}

// byStructure pairs nodes of equal ancestors and descendants, then of equal
// ancestors, then of equal descendants.
func (m *match) byStructure() {
	both := classes{}
	join := func(s *side) []int {
		list := make([]int, len(s.nodes))
		for i := range list {
			list[i] = both.of(string(binaryKey(s.up[i], s.down[i])))
		}
		return list
	}
	m.byClass(join(m.a), join(m.b))
	m.byClass(m.a.up, m.b.up)
	m.byClass(m.a.down, m.b.down)
}

// byClass pairs nodes of one class: those of one name, then in order.
func (m *match) byClass(a, b []int) {
	type key struct {
		class int
		name  string
	}
	named, rest := map[key]int{}, map[int][]int{}
	for j, class := range b {
		if m.ba[j] < 0 {
			named[key{class, m.b.names[j]}] = j
		}
	}
	for i, class := range a {
		if j, ok := named[key{class, m.a.names[i]}]; ok && m.ab[i] < 0 && m.ba[j] < 0 {
			m.pair(i, j)
		}
	}
	for j, class := range b {
		if m.ba[j] < 0 {
			rest[class] = append(rest[class], j)
		}
	}
	for i, class := range a {
		if list := rest[class]; m.ab[i] < 0 && len(list) > 0 {
			m.pair(i, list[0])
			rest[class] = list[1:]
		}
	}
}

// byNeighbours pairs nodes that read, or are read by, nodes that are paired
// already, as long as there are such.
func (m *match) byNeighbours(ok func(i, j int) bool) {
	var queue []int
	for i, j := range m.ab {
		if j >= 0 {
			queue = append(queue, i)
		}
	}
	found := func(i, j int) {
		if m.ab[i] < 0 && m.ba[j] < 0 && ok(i, j) {
			m.pair(i, j)
			queue = append(queue, i)
		}
	}
	makers := func(x, y string) {
		p, okA := m.a.producer[x]
		q, okB := m.b.producer[y]
		if okA && okB && p.output == q.output {
			found(p.node, q.node)
		}
	}
	for _, v := range m.a.inputs {
		if w, ok := m.inputs[v.Name]; ok {
			m.readersOf(v.Name, w, found)
		}
	}
	for i := range m.a.graph.Outputs {
		if j, ok := m.outputs[i]; ok {
			makers(m.a.graph.Outputs[i].Name, m.b.graph.Outputs[j].Name)
		}
	}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		j := m.ab[i]
		for slot := range min(len(m.a.reads[i]), len(m.b.reads[j])) {
			makers(m.a.reads[i][slot], m.b.reads[j][slot])
		}
		x, y := m.a.nodes[i].Outputs, m.b.nodes[j].Outputs
		for k := range min(len(x), len(y)) {
			m.readersOf(x[k], y[k], found)
		}
	}
}

// readersOf names the unpaired readers of two values that belong together,
// where there is no choice: one of equal operator and attributes that reads the
// value as the same input, or one of equal operator, or one at all.
func (m *match) readersOf(x, y string, found func(i, j int)) {
	if x == "" || y == "" {
		return
	}
	for _, key := range []func(s *side, u use) string{
		func(s *side, u use) string { return fmt.Sprint(u.slot, s.forms[u.node]) },
		func(s *side, u use) string { return fmt.Sprint(u.slot, operator(s.nodes[u.node])) },
		func(*side, use) string { return "" },
	} {
		as, bs := unpairedReaders(m.a, m.ab, x, key), unpairedReaders(m.b, m.ba, y, key)
		for _, u := range m.a.uses[x] {
			k := key(m.a, u)
			if i, j := as[k], bs[k]; len(i) == 1 && len(j) == 1 {
				found(i[0], j[0])
			}
		}
	}
}

// unpairedReaders lists the nodes without a partner that read a value, by a key.
func unpairedReaders(s *side, partner []int, value string, key func(*side, use) string) map[string][]int {
	at := map[string][]int{}
	for _, u := range s.uses[value] {
		if partner[u.node] < 0 {
			k := key(s, u)
			at[k] = append(at[k], u.node)
		}
	}
	return at
}

// pairTensors pairs tensors of one name, and then those that paired nodes read
// in one place; the other way round where most names mean something else on
// the other side, as when an exporter numbers them.
func (m *match) pairTensors() {
	back := map[string]string{}
	pair := func(x, y string) {
		if _, taken := m.tensors[x]; taken || back[y] != "" {
			return
		}
		m.tensors[x], back[y] = y, x
	}
	named := func() {
		for _, t := range m.a.graph.Initializers {
			if m.b.tensor[t.Name] != nil {
				pair(t.Name, t.Name)
			}
		}
		for _, t := range m.a.graph.SparseInitializers {
			if m.b.tensor[t.Name] != nil {
				pair(t.Name, t.Name)
			}
		}
	}
	same, crossed := 0, 0
	m.eachTensorUse(func(x, y string) {
		switch {
		case x == y:
			same++
		case m.b.tensor[x] != nil || m.a.tensor[y] != nil:
			crossed++
		}
	})
	if crossed <= same {
		named()
	}
	m.eachTensorUse(pair)
	named()
	idle := func(s *side) (list []*onnxgraph.Tensor) {
		for _, t := range s.graph.Initializers {
			if len(s.uses[t.Name]) == 0 {
				list = append(list, t)
			}
		}
		return list
	}
	rest := map[string][]string{} // what nobody reads, by type and dims
	for _, t := range idle(m.b) {
		if back[t.Name] == "" {
			rest[tensorForm(t)] = append(rest[tensorForm(t)], t.Name)
		}
	}
	for _, t := range idle(m.a) {
		if list := rest[tensorForm(t)]; m.tensors[t.Name] == "" && len(list) > 0 {
			pair(t.Name, list[0])
			rest[tensorForm(t)] = list[1:]
		}
	}
}

// eachTensorUse visits the tensors that paired nodes read in one place.
func (m *match) eachTensorUse(visit func(x, y string)) {
	for i, j := range m.ab {
		if j < 0 {
			continue
		}
		for slot := range min(len(m.a.reads[i]), len(m.b.reads[j])) {
			x, y := m.a.reads[i][slot], m.b.reads[j][slot]
			if m.a.tensor[x] != nil && m.b.tensor[y] != nil {
				visit(x, y)
			}
		}
	}
}

// sameValue reports whether two values belong together.
func (m *match) sameValue(x, y string) bool {
	if x == "" || y == "" {
		return x == y
	}
	if m.a.tensor[x] != nil || m.b.tensor[y] != nil {
		return m.a.tensor[x] != nil && m.b.tensor[y] != nil && m.tensors[x] == y
	}
	p, madeA := m.a.producer[x]
	q, madeB := m.b.producer[y]
	if madeA || madeB {
		return madeA && madeB && m.ab[p.node] == q.node && p.output == q.output
	}
	if w, ok := m.inputs[x]; ok {
		return w == y
	}
	return x == y // made by nobody: the models are invalid
}
