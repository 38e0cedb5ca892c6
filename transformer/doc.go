// Package transformer decides which edges of a cell to change: policies propose,
// rules and legality mask what is not allowed, and a chooser picks among sampled
// candidates under a cost bound.
package transformer
