// Package cellmap lifts the repeated blocks of an ONNX network into cells, the
// graphs that Neural Architecture Transformer works on, and lowers decisions on
// cells back to the network.
//
// A cell has two inputs, node 0 (what enters the previous cell, which is the
// output of cell k-2) and node 1 (the output of cell k-1), and intermediate
// nodes 2, 3, ... Each intermediate node is the sum of exactly two incoming
// edges, then an optional activation. Each edge is an operation of the
// vocabulary: a convolution, a pooling, skip or null. Nodes that have one
// operand in the network are padded with a null edge from node 0, as in the
// authors' genotypes.
//
// [Lift] reads a network as a [Map] of cells. [Map.Allowed] says whether a [Move]
// is possible, and why not, [Map.Saving] what it saves, and [Map.Inherited] what
// another kind of operation takes over of the old one's weights; [Map.Lower]
// turns moves into a patch of the graph. A [Form] is the bare structure of a
// cell, a [Genotype] the authors' way to write two of them.
package cellmap
