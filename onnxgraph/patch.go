package onnxgraph

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Patch is a change of a model's main graph, as a value. [Model.Apply]
// carries it out. What falls dead because of it (nodes that nobody reads any
// more, their initializers and value_info) needs no mention; what was dead
// before is left alone.
type Patch struct {
	// Rule names who asks; errors carry it.
	Rule string
	// Add are nodes made by [NewNode]. Each is placed right before the first
	// node that reads it.
	Add []*Node
	// Init are initializers made by [NewTensor].
	Init []*Tensor
	// Replace are initializers made by [NewTensor] that take the place of those
	// of the same name, element type and dims.
	Replace []*Tensor
	// Remove are nodes whose outputs nobody reads after the patch.
	Remove []*Node
	// Rewire points inputs of nodes at other values.
	Rewire []Rewire
	// Rename gives outputs of nodes other names.
	Rename []Rename
	// Metadata sets entries of metadata_props, replacing those of the same key.
	Metadata []Property
}

// A Rewire makes input Input of Node read the value To. Input may be the number
// of inputs that the node has, which adds one.
type Rewire struct {
	Node  *Node
	Input int
	To    string
}

// A Rename makes output Output of Node produce the value To instead.
type Rename struct {
	Node   *Node
	Output int
	To     string
}

// Empty reports whether the patch changes nothing.
func (p *Patch) Empty() bool {
	return len(p.Add)+len(p.Init)+len(p.Replace)+len(p.Remove)+len(p.Rewire)+len(p.Rename)+len(p.Metadata) == 0
}

// Apply returns the model with the patch carried out; m itself is unchanged.
// It fails, naming the rule, where the patch would leave a graph that reads a
// value before it is made, makes one twice, or loses an output.
func (m *Model) Apply(p *Patch) (*Model, error) {
	if p.Empty() {
		return m, nil
	}
	e := &edit{model: m, patch: p, now: map[*Node]*Node{}}
	out, err := e.apply()
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", m.Path, p.Rule, err)
	}
	return out, nil
}

// edit is one application of a patch.
type edit struct {
	model *Model
	patch *Patch
	now   map[*Node]*Node // old node to edited node; nil: removed
	uses  map[string]int  // readers of each value after the edit
	order []*Node         // all nodes after the edit
	// position is where each kept node stands in order.
	position map[*Node]int
}

func (e *edit) apply() (*Model, error) {
	if err := e.checkPatch(); err != nil {
		return nil, err
	}
	if err := e.editNodes(); err != nil {
		return nil, err
	}
	e.countUses()
	e.bury()
	e.place()
	g := e.rebuildGraph()
	if err := g.checkFlow(); err != nil {
		return nil, err
	}
	out := *e.model
	out.Graph, out.edited = g, true
	out.entries = withMetadata(e.model.entries, e.patch.Metadata)
	out.Metadata = mergeMetadata(e.model.Metadata, e.patch.Metadata)
	return &out, nil
}

// checkPatch refuses parts of a patch that would silently do nothing: nodes of
// another state of the model, and nodes and tensors without an encoding.
func (e *edit) checkPatch() error {
	var old []*Node
	old = append(old, e.patch.Remove...)
	for _, r := range e.patch.Rewire {
		old = append(old, r.Node)
	}
	for _, r := range e.patch.Rename {
		old = append(old, r.Node)
	}
	nodes := e.model.Graph.Nodes
	for _, n := range old {
		if n == nil || n.Index < 0 || n.Index >= len(nodes) || nodes[n.Index] != n {
			return fmt.Errorf("%v is not a node of this model: was it taken from before another patch?", n)
		}
	}
	taken := make(map[string]bool, len(nodes)) // ONNX Runtime wants names of nodes to differ
	for _, n := range nodes {
		taken[n.Name] = n.Name != ""
	}
	for _, n := range e.patch.Remove {
		delete(taken, n.Name)
	}
	for _, n := range e.patch.Add {
		switch {
		case n == nil || n.raw == nil:
			return fmt.Errorf("the added node %v was not made by NewNode from attributes in memory", n)
		case taken[n.Name]:
			return fmt.Errorf("the added node %s has the name of another node", quote(n.Name))
		}
		taken[n.Name] = n.Name != ""
	}
	names := map[string]bool{}
	x := e.model.Graph.Index()
	for _, t := range e.patch.Init {
		switch {
		case t.raw == nil:
			return fmt.Errorf("the added initializer %s was not made by NewTensor", quote(t.Name))
		case names[t.Name] || x.Initializer[t.Name] != nil || x.Input[t.Name] != nil:
			return fmt.Errorf("the added initializer %s has the name of another value", quote(t.Name))
		}
		names[t.Name] = true
	}
	return e.checkReplaced()
}

func (e *edit) checkReplaced() error {
	for _, t := range e.patch.Replace {
		old := e.model.Graph.Index().Initializer[t.Name]
		switch {
		case t.raw == nil:
			return fmt.Errorf("the replaced initializer %s was not made by NewTensor", quote(t.Name))
		case old == nil:
			return fmt.Errorf("there is no initializer %s to replace", quote(t.Name))
		case t.Type != old.Type || !slices.Equal(t.Dims, old.Dims):
			return fmt.Errorf("the replaced initializer %s is %v %v, want %v %v", quote(t.Name), t.Type, t.Shape(), old.Type, old.Shape())
		}
	}
	return nil
}

// editNodes carries out rewires, renames and removals on copies of the nodes.
func (e *edit) editNodes() error {
	type names struct{ in, out []string }
	edits := map[*Node]*names{}
	at := func(n *Node) *names {
		if edits[n] == nil {
			edits[n] = &names{slices.Clone(n.Inputs), slices.Clone(n.Outputs)}
		}
		return edits[n]
	}
	for _, r := range e.patch.Rewire {
		names := at(r.Node)
		if r.Input < 0 || r.Input > len(names.in) {
			return fmt.Errorf("%v: no input %d to rewire", r.Node, r.Input)
		}
		names.in = append(names.in[:r.Input], append([]string{r.To}, names.in[min(r.Input+1, len(names.in)):]...)...)
	}
	for _, r := range e.patch.Rename {
		if r.Output < 0 || r.Output >= len(r.Node.Outputs) {
			return fmt.Errorf("%v: no output %d to rename", r.Node, r.Output)
		}
		at(r.Node).out[r.Output] = r.To
	}
	for n, names := range edits {
		c, err := e.model.editNode(n, names.in, names.out)
		if err != nil {
			return err
		}
		e.now[n] = c
	}
	for _, n := range e.patch.Remove {
		e.now[n] = nil
	}
	return nil
}

// current returns the node that stands for an old one, or nil once removed.
func (e *edit) current(n *Node) *Node {
	if c, ok := e.now[n]; ok {
		return c
	}
	return n
}

func (n *Node) reads(visit func(string)) {
	for _, list := range [][]string{n.Inputs, n.Captures} {
		for _, name := range list {
			if name != "" {
				visit(name)
			}
		}
	}
}

func (e *edit) countUses() {
	e.uses = map[string]int{}
	count := func(name string) { e.uses[name]++ }
	for _, n := range e.model.Graph.Nodes {
		if c := e.current(n); c != nil {
			c.reads(count)
		}
	}
	for _, n := range e.patch.Add {
		n.reads(count)
	}
	for _, v := range e.model.Graph.Outputs {
		count(v.Name)
	}
}

// bury removes the nodes that the patch made dead: those whose outputs lost
// their last reader, and so on upwards.
func (e *edit) bury() {
	x := e.model.Graph.Index()
	var queue []*Node
	lost := func(name string) {
		if n := x.Producer[name]; n != nil {
			queue = append(queue, n)
		}
	}
	for old, c := range e.now {
		old.reads(func(name string) {
			if c == nil || !slices.Contains(c.Inputs, name) {
				lost(name)
			}
		})
	}
	for len(queue) > 0 {
		old := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		n := e.current(old)
		if n == nil || slices.ContainsFunc(n.Outputs, func(o string) bool { return e.uses[o] > 0 }) {
			continue
		}
		e.now[old] = nil
		n.reads(func(name string) {
			if e.uses[name]--; e.uses[name] == 0 {
				lost(name)
			}
		})
	}
}

// place puts the kept nodes in their old order, each added node right before
// its first reader.
func (e *edit) place() {
	e.position = map[*Node]int{}
	pending := map[string]*Node{}
	for _, n := range e.patch.Add {
		for _, o := range n.Outputs {
			pending[o] = n
		}
	}
	placed := map[*Node]bool{}
	var put func(n *Node)
	put = func(n *Node) {
		n.reads(func(name string) {
			if a := pending[name]; a != nil && !placed[a] {
				placed[a] = true
				put(a)
			}
		})
		c := *n
		c.Index = len(e.order)
		e.order = append(e.order, &c)
	}
	for _, old := range e.model.Graph.Nodes {
		if n := e.current(old); n != nil {
			put(n)
			e.position[old] = len(e.order) - 1
		}
	}
	for _, n := range e.patch.Add { // read by nobody but the graph's outputs
		if !placed[n] {
			placed[n] = true
			put(n)
		}
	}
}

// rebuildGraph assembles the edited graph, keeping the order of all fields.
func (e *edit) rebuildGraph() *Graph {
	old := e.model.Graph
	g := &Graph{Name: old.Name, Nodes: e.order, SparseInitializers: old.SparseInitializers}
	produced := map[string]bool{}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			produced[o] = true
		}
	}
	x := old.Index()
	// gone reports whether a value existed before and does not any more.
	gone := func(name string) bool {
		if t := x.Initializer[name]; t != nil {
			return e.uses[name] == 0 && len(x.Consumers[name]) > 0
		}
		return x.Producer[name] != nil && !produced[name]
	}
	replaced := map[string]*Tensor{}
	for _, t := range e.patch.Replace {
		replaced[t.Name] = t
	}
	g.entries = make([]entry, 0, len(old.entries)+len(e.patch.Add)+len(e.patch.Init))
	next := 0 // of e.order
	putNodes := func(upTo int) {
		for ; next < upTo; next++ {
			g.entries = append(g.entries, nodeEntry(e.order[next]))
		}
	}
	lastInit := -1
	for _, en := range old.entries {
		switch item := en.item.(type) {
		case *Node:
			if e.current(item) != nil {
				putNodes(e.position[item] + 1)
			}
			continue
		case *Tensor:
			if gone(item.Name) {
				continue
			}
			if t := replaced[item.Name]; t != nil && en.num == graphInitializer {
				item, en = t, tensorEntry(t)
			}
			g.Initializers = append(g.Initializers, item)
			lastInit = len(g.entries)
		case *Value:
			if gone(item.Name) && en.num != graphOutput {
				continue
			}
			list, _ := g.valueList(en.num)
			*list = append(*list, item)
		default:
			if en.num == graphQuantization && gone(en.name) {
				continue
			}
		}
		g.entries = append(g.entries, en)
	}
	putNodes(len(e.order))
	if lastInit < 0 {
		lastInit = len(g.entries) - 1
	}
	e.addInitializers(g, lastInit+1)
	return g
}

// addInitializers puts the patch's initializers behind the others. Before IR
// version 4 they have to be declared as inputs too.
func (e *edit) addInitializers(g *Graph, at int) {
	entries := make([]entry, 0, len(e.patch.Init))
	for _, t := range e.patch.Init {
		entries = append(entries, tensorEntry(t))
		g.Initializers = append(g.Initializers, t)
		if e.model.IRVersion < 4 {
			v := &Value{t.Name, Type{"tensor", t.Type, t.Shape()}}
			g.entries = append(g.entries, valueEntry(graphInput, v))
			g.Inputs = append(g.Inputs, v)
		}
	}
	g.entries = slices.Insert(g.entries, at, entries...)
}

func nodeEntry(n *Node) entry {
	if n.raw != nil {
		return entry{num: graphNode, raw: appendMessage(nil, graphNode, n.raw), item: n}
	}
	return entry{num: graphNode, at: n.whole, item: n}
}

// tensorEntry is the entry of an initializer made by NewTensor.
func tensorEntry(t *Tensor) entry {
	return entry{num: graphInitializer, raw: appendMessage(nil, graphInitializer, t.raw), item: t}
}

func valueEntry(num protowire.Number, v *Value) entry {
	return entry{num: num, raw: appendMessage(nil, num, encodeValue(v)), item: v}
}

// withMetadata returns the model's entries with properties set.
func withMetadata(entries []entry, set []Property) []entry {
	out := slices.Clone(entries)
	for _, p := range set {
		e := entry{num: modelMetadata, name: p.Key, raw: appendMessage(nil, modelMetadata, encodeProperty(p))}
		i := slices.IndexFunc(out, func(o entry) bool { return o.num == modelMetadata && o.name == p.Key })
		if i < 0 {
			out = append(out, e)
		} else {
			out[i] = e
		}
	}
	return out
}

// checkFlow verifies that every value is made once and before it is read.
func (g *Graph) checkFlow() error {
	made := make(map[string]bool, len(g.Nodes)+len(g.Initializers)+len(g.Inputs)+1)
	made[""] = true
	for _, v := range g.Inputs {
		made[v.Name] = true
	}
	for _, t := range g.Initializers {
		made[t.Name] = true
	}
	for _, t := range g.SparseInitializers {
		made[t.Name] = true
	}
	for _, n := range g.Nodes {
		var missing string
		n.reads(func(name string) {
			if !made[name] && missing == "" {
				missing = name
			}
		})
		if missing != "" {
			return fmt.Errorf("%v would read %q before it is made", n, missing)
		}
		for _, o := range n.Outputs {
			if o != "" && made[o] {
				return fmt.Errorf("%v would make %q a second time", n, o)
			}
			made[o] = true
		}
	}
	for _, v := range g.Outputs {
		if !made[v.Name] {
			return fmt.Errorf("graph output %q would be lost", v.Name)
		}
	}
	if len(g.Outputs) == 0 {
		return errors.New("the graph would have no output")
	}
	return nil
}

func mergeMetadata(old, set []Property) []Property {
	out := slices.Clone(old)
	for _, p := range set {
		if i := slices.IndexFunc(out, func(q Property) bool { return q.Key == p.Key }); i >= 0 {
			out[i] = p
		} else {
			out = append(out, p)
		}
	}
	return out
}
