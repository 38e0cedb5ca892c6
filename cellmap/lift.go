package cellmap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// lifter finds the cells of one network.
type lifter struct {
	*dataflow
	types *onnxgraph.Types
	out   *Map
	at    int // the stretch that is looked at next
	from  int // where the block in question begins
	// barren is where the last search for a stage ended in vain: no stage
	// begins before it. It keeps lifting linear on long trunks.
	barren int
}

// Lift reads a network as cells. It never fails: what is no cell is listed in
// Map.Refused with the reason. The model must be valid.
func Lift(m *onnxgraph.Model) *Map {
	l := &lifter{dataflow: newDataflow(m.Graph), types: m.Infer()}
	l.out = &Map{Model: m, Types: l.types, flow: l.dataflow}
	for l.at < len(l.stretches) {
		l.from = l.at
		for l.isAdded(l.at) {
			l.at++
		}
		if !l.recognise() {
			l.at = l.from
			l.pass()
		}
	}
	l.finish()
	return l.out
}

// recognise tries the patterns at the current stretch.
func (l *lifter) recognise() bool {
	at := l.at
	if at == len(l.stretches) {
		return false
	}
	for _, pattern := range patterns {
		if pattern(l); l.at != at {
			return true
		}
	}
	return false
}

// patterns are the kinds of blocks, tried in this order at every stretch. Each
// moves l.at on if it recognises the block, whether it becomes a cell or a refusal.
var patterns = []func(*lifter){
	(*lifter).branching,
	(*lifter).invertedResidual,
	(*lifter).stage,
}

// branching takes a block whose flow branches and joins again (residual
// blocks, modules that concatenate), with the activations that follow.
func (l *lifter) branching() {
	seg := l.stretches[l.at]
	if len(seg.nodes) == 1 {
		return
	}
	l.at++
	if l.isSquash(seg) {
		return // x*sigmoid(x) and its like on the trunk: no block
	}
	for l.is(l.at, roleAct) && !l.isJoin(seg) {
		l.at++
	}
	l.addCell("")
}

// isSquash reports whether a branching stretch only multiplies a value by a
// function of itself.
func (l *lifter) isSquash(seg stretch) bool {
	for _, n := range seg.nodes {
		if n.Is("Conv", "MaxPool", "AveragePool", "MatMul", "Gemm") {
			return false
		}
	}
	return true
}

func (l *lifter) isJoin(seg stretch) bool {
	return l.roleOf(seg.nodes[len(seg.nodes)-1]) == roleConcat
}

// invertedResidual takes MobileNetV2's block without a shortcut (expand,
// depthwise, project; the first block does not expand) and MobileNetV1's
// separable convolution.
func (l *lifter) invertedResidual() {
	first, next := l.unit(l.at)
	if first == nil {
		return
	}
	if first.isPointwise() && first.out > first.in {
		depthwise, next := l.unit(next)
		if depthwise == nil || depthwise.op.Family() != DWConv {
			return
		}
		if project, end := l.unit(next); project != nil && project.isPointwise() && project.out < project.in {
			l.take(InvertedResidual, end)
		}
		return
	}
	if first.op.Family() == DWConv {
		project, end := l.unit(next)
		switch {
		case project == nil || !project.isPointwise():
		case project.out < project.in:
			l.take(InvertedResidual, end)
		default:
			l.take(Separable, end)
		}
	}
}

// stage takes a stage of VGG: convolutions that keep the resolution, then a
// pooling that does not.
func (l *lifter) stage() {
	if l.at < l.barren {
		return
	}
	at, spatial := l.at, false
	for {
		u, next := l.unit(at)
		if u == nil || !u.inStage() || u.stride != 1 || !u.op.within(5) {
			break
		}
		spatial = spatial || !u.isPointwise() && !u.op.IsPool()
		at = next
	}
	if u, next := l.unit(at); spatial && u != nil && u.op.IsPool() && u.stride > 1 {
		l.take(Stage, next)
		return
	}
	l.barren = at
}

// take makes a cell of the stretches up to end.
func (l *lifter) take(kind Kind, end int) {
	l.at = end
	l.addCell(kind)
}

// A unit is an operation on the trunk with the normalization and activations after it.
type unit struct {
	op      Op
	stride  int64
	in, out int64 // channels
	pair    bool  // depthwise and pointwise in one convolution's place
}

// inStage reports whether the unit may stand in a stage before its end: a dense
// convolution, or what may have taken the place of one.
func (u *unit) inStage() bool { return u.op.Family() == Conv || u.pair || u.op.IsPool() }

func (u *unit) isPointwise() bool { return u.op == "conv_1x1" && u.stride == 1 }

// unit reads the unit that begins at a stretch, or nil, and the stretch after it.
// Skips that an earlier lowering added to its sum belong to it.
func (l *lifter) unit(at int) (*unit, int) {
	if l.is(at, rolePad) {
		at++
	}
	if !l.is(at, roleOp) {
		return nil, at
	}
	n := l.stretches[at].nodes[0]
	op, stride, err := l.operation(n)
	if err != nil {
		return nil, at
	}
	u := &unit{op: op, stride: stride}
	if w := l.types.Of(n.Input(1)).Shape; n.Is("Conv") && len(w) == 4 {
		u.out, u.in = w[0].N, w[1].N*n.Int("group", 1)
	}
	if second := l.pointwiseOf(n); second != nil {
		if w := l.types.Of(second.Input(1)).Shape; len(w) == 4 {
			u.out = w[0].N
		}
		u.pair = true
		at++
	}
	for at++; l.is(at, roleAffine) || l.is(at, roleAct) || l.is(at, rolePass) || l.isAdded(at); at++ {
	}
	return u, at
}

// isAdded reports whether stretch i is a skip that an earlier lowering added at
// the entry of a block.
func (l *lifter) isAdded(i int) bool {
	return i < len(l.stretches) && !slices.ContainsFunc(l.stretches[i].nodes, func(n *onnxgraph.Node) bool {
		return !strings.HasPrefix(n.Name, added)
	})
}

// is reports whether stretch i is a single operator of that role.
func (l *lifter) is(i int, r opRole) bool {
	return i < len(l.stretches) && len(l.stretches[i].nodes) == 1 && l.roleOf(l.stretches[i].nodes[0]) == r
}

// addCell parses the stretches [l.from, l.at) and files the cell or the refusal.
func (l *lifter) addCell(kind Kind) {
	var nodes []*onnxgraph.Node
	for _, s := range l.stretches[l.from:l.at] {
		nodes = append(nodes, s.nodes...)
	}
	c, err := l.parse(kind, l.stretches[l.from].in, l.stretches[l.at-1].out, nodes)
	if err != nil {
		r := Refusal{Where: nodes[0].String(), Reason: err.Error()}
		errors.As(err, &r) // which knows the place better
		l.out.Refused = append(l.out.Refused, r)
		return
	}
	c.Index = len(l.out.Cells)
	l.out.Cells = append(l.out.Cells, c)
}

// pass walks past one stretch that begins no block.
func (l *lifter) pass() {
	seg := l.stretches[l.at]
	l.at++
	n := seg.nodes[0]
	if len(seg.nodes) > 1 || !n.Is("Conv") {
		return
	}
	what := "convolution"
	if op, stride, err := l.operation(n); err == nil {
		what = string(op)
		if stride > 1 {
			what += fmt.Sprintf(" of stride %d", stride)
		}
	}
	l.out.Refused = append(l.out.Refused, Refusal{Where: n.String(),
		Reason: what + " on the trunk: not part of a residual block, an inverted residual, or a stage of convolutions and a pooling"})
}

// finish links the cells to each other and sorts them into types.
func (l *lifter) finish() {
	nameCells(l.out.Cells)
	bySignature := map[string]*Type{}
	for i, c := range l.out.Cells {
		// Both inputs of the first cell are the stem's output, as in the
		// authors' supernet (spec section 1.2).
		c.Inputs[0] = c.Inputs[1]
		if i > 0 {
			c.Inputs[0] = l.out.Cells[i-1].Inputs[1]
		}
		for _, n := range c.Nodes {
			c.Reduction = c.Reduction || n.Edges[0].Stride > 1 || n.Edges[1].Stride > 1
		}
		t := bySignature[c.signature()]
		if t == nil {
			t = &Type{Name: typeName(len(l.out.CellTypes)), Kind: c.Kind, Shortcut: c.Shortcut, Reduction: c.Reduction, Form: c.Form()}
			bySignature[c.signature()] = t
			l.out.CellTypes = append(l.out.CellTypes, t)
		}
		c.Type = t
		t.Cells = append(t.Cells, c)
	}
}

func typeName(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return fmt.Sprintf("T%d", i)
}

// signature is what the cells of one type share.
func (c *Cell) signature() string {
	var b strings.Builder
	fmt.Fprint(&b, c.Kind, c.Concat)
	for i := range c.Nodes {
		n := &c.Nodes[i]
		for _, e := range n.Edges {
			fmt.Fprintf(&b, "|%s/%d<%d", e.Op, e.Stride, e.From)
		}
		for _, a := range n.Act {
			b.WriteString("," + a.OpType)
		}
	}
	return b.String()
}
