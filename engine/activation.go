package engine

import "math"

// clampOf returns the bounds of a Relu or of a Clip between constants, as
// [vec.Clamp] takes them. ok is false for every other node.
func clampOf(n *node) (lo, hi float32, ok bool) {
	lo, hi = float32(math.Inf(-1)), float32(math.Inf(1))
	switch {
	case n.Is("Relu"):
		return 0, hi, true
	case !n.Is("Clip"):
		return 0, 0, false
	case n.opset < 11:
		return n.Float("min", -math.MaxFloat32), n.Float("max", math.MaxFloat32), true
	}
	lo, first := n.bound(1, lo)
	hi, second := n.bound(2, hi)
	return lo, hi, first && second
}

// bound returns input i where it is one constant float32, def where it is absent.
func (n *node) bound(i int, def float32) (float32, bool) {
	if !n.has(i) {
		return def, true
	}
	t := n.constant(i)
	if t == nil || t.Len() != 1 {
		return 0, false
	}
	f, ok := t.data.([]float32)
	if !ok {
		return 0, false
	}
	return f[0], true
}
