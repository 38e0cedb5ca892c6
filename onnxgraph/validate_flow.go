package onnxgraph

import (
	"fmt"
	"strings"
)

// A flow says, for a graph whose nodes are not in order, who makes what, and
// which nodes have no order at all: those on a cycle or fed by one.
type flow struct {
	producer map[string]*Node
	stuck    []bool // by node index
}

// checkReads reports inputs that nothing makes, or that are made too late. A
// name that a subgraph captures is reported where the nodes that could make it are.
func (v *validator) checkReads(s *scope, n *Node) {
	for i, name := range n.Inputs {
		if name == "" || s.visible(name) != "" {
			continue
		}
		switch late := v.flowOf(s).producer[name]; {
		case late != nil && s.flow.stuck[n.Index]: // the cycle has been reported
		case late != nil:
			v.addf(s.node(n), "input[%d] %s is made later, by %s: the nodes are not in topological order", i, quote(name), nodePath(late, late.Index))
		case !v.madeLaterOutside(s, name):
			v.addf(s.node(n), "input[%d] %s: nothing makes it", i, quote(name))
		}
	}
	for _, name := range n.Captures {
		if s.visible(name) != "" {
			continue
		}
		if late := v.flowOf(s).producer[name]; late != nil && !s.flow.stuck[n.Index] {
			v.addf(s.node(n), "a subgraph reads %s, which is made later, by %s: the nodes are not in topological order", quote(name), nodePath(late, late.Index))
		}
	}
}

// madeLaterOutside reports whether an enclosing graph makes the name after the
// node that holds the scope: the check of that node's captures reports it.
func (v *validator) madeLaterOutside(s *scope, name string) bool {
	for s = s.outer; s != nil; s = s.outer {
		if v.flowOf(s).producer[name] != nil {
			return true
		}
	}
	return false
}

// flowOf works out the order of a graph on first use and reports its cycles.
func (v *validator) flowOf(s *scope) *flow {
	if s.flow != nil {
		return s.flow
	}
	nodes := s.graph.Nodes
	f := &flow{make(map[string]*Node, len(nodes)), make([]bool, len(nodes))}
	s.flow = f
	for _, n := range nodes {
		for _, o := range n.Outputs {
			if o != "" && f.producer[o] == nil {
				f.producer[o] = n
			}
		}
	}
	waits := make([]int, len(nodes)) // values of other nodes that a node waits for
	readers := make([][]*Node, len(nodes))
	for _, n := range nodes {
		n.reads(func(name string) {
			if p := f.producer[name]; p != nil {
				waits[n.Index]++
				readers[p.Index] = append(readers[p.Index], n)
			}
		})
	}
	var ready []*Node
	for _, n := range nodes {
		f.stuck[n.Index] = true
		if waits[n.Index] == 0 {
			ready = append(ready, n)
		}
	}
	for len(ready) > 0 {
		n := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		f.stuck[n.Index] = false
		for _, r := range readers[n.Index] {
			if waits[r.Index]--; waits[r.Index] == 0 {
				ready = append(ready, r)
			}
		}
	}
	v.reportCycles(s)
	return f
}

// reportCycles walks backwards from each stuck node: every one of them reads
// from another, so that each walk ends in a cycle or in an earlier walk.
func (v *validator) reportCycles(s *scope) {
	walk := make([]int, len(s.graph.Nodes)) // in which walk a node was met; 0: in none
	for start, n := range s.graph.Nodes {
		if !s.flow.stuck[start] || walk[start] != 0 {
			continue
		}
		var path []*Node
		for walk[n.Index] == 0 {
			walk[n.Index] = start + 1
			path = append(path, n)
			n = s.stuckInput(n)
		}
		if walk[n.Index] != start+1 {
			continue
		}
		for i, p := range path {
			if p == n {
				v.addf(s.node(n), "is on a cycle: it reads %s", cycleText(path[i:]))
				break
			}
		}
	}
}

// stuckInput returns a stuck node that n reads from.
func (s *scope) stuckInput(n *Node) (from *Node) {
	n.reads(func(name string) {
		if p := s.flow.producer[name]; from == nil && p != nil && s.flow.stuck[p.Index] {
			from = p
		}
	})
	return from
}

// cycleText spells out a cycle whose every node reads the next, without its first node.
func cycleText(cycle []*Node) string {
	const most = 8
	var parts []string
	for _, n := range cycle[1:] {
		if len(parts) == most {
			parts = append(parts, fmt.Sprintf("... (%d nodes in all)", len(cycle)))
			break
		}
		parts = append(parts, nodePath(n, n.Index))
	}
	return strings.Join(append(parts, "itself"), ", which reads ")
}
