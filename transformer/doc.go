// Package transformer decides which edges of a cell to change: policies propose,
// rules and legality mask what is not allowed, and a chooser picks among sampled
// candidates under a cost bound.
//
// [Choose] takes a network as [cellmap.Lift] reads it and returns a [Plan]: the
// moves with their savings, what the network does not allow and why, and the
// rewritten model, not yet saved. A [Policy] is anything that scores actions; a
// [GCN] is the trained one, by [Builtin] or from a file by [Load].
package transformer
