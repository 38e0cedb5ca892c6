// Package search looks for the changes of a network that save most and harm
// least, by evaluating candidates: greedily, at random, or as proposed by a
// graph convolution network that learns from the evaluations (REINFORCE).
package search

import "context"

// A Site is a place of the network where one of several options is taken: a cell.
type Site struct {
	Name string
	// Options are the ways to write the site. The first one is the site as it is.
	Options []Option
}

// An Option is one way to write a site.
type Option struct {
	Name string
	// Cost is what the site costs so, as a share of the whole network's cost.
	Cost float64
	// Harm is a cheap estimate of what the option destroys: the share of the
	// variance of the site's output that it cannot explain, from 0 to 1; 0 for
	// the site as it is.
	Harm float64
	// Actions are what the option does to operations of the network; the others
	// stay. None for the site as it is.
	Actions []Action
}

// An Action changes an operation, a node of the Graph.
type Action struct {
	Node int
	To   int // 0: keep, 1: skip, 2: null
}

// A Graph is the network as a policy sees it: operations, and which of them read
// what others compute.
type Graph struct {
	Features [][]float64 // [node][feature], each about -1 to 1
	Names    []string    // of the features
	Edges    [][2]int    // from, to
}

// A Problem is what is searched.
type Problem struct {
	Sites []Site
	Graph Graph
	// Fixed is the cost of what belongs to no site, as a share of the whole.
	Fixed float64
	// Budget is the largest cost that a result may have, as a share. 0: there is
	// none, and the whole trade-off between cost and loss is wanted.
	Budget float64
	// Evaluate returns how far a candidate's outputs are from the network's:
	// choice[i] is the option of site i. It is safe for concurrent use, and its
	// result depends on the choice alone.
	Evaluate func(ctx context.Context, choice []int) (loss float64, err error)
}

// A Candidate is a choice that was evaluated.
type Candidate struct {
	Choice []int
	Cost   float64
	Loss   float64
}
