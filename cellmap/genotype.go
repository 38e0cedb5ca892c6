package cellmap

// A FormEdge is an edge of a Form: an operation from one node to another.
type FormEdge struct {
	Op       Op
	From, To int
	Fixed    bool // not open to decisions
}

// A Form is the bare structure of a cell: two edges for each intermediate node
// in ascending order (Edges[2*i] and Edges[2*i+1] lead to node i+2), and the
// nodes whose concatenation is the output. Policies see cells in this form.
type Form struct {
	Edges  []FormEdge
	Concat []int
}

// A Genotype is an architecture in the authors' form (spec section 1.4).
type Genotype struct {
	Normal, Reduce Form
}
