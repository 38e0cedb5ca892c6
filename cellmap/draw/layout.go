package draw

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// The layout of a cell is layered, as is usual for directed graphs: nodes stand
// in layers by their longest way from the inputs, and between two layers stands
// a column of labels. Every edge owns a slot in every column that it passes,
// its label has its slot in the column before the edge's target, and edges
// change their slots only in the gaps between columns. So no label can lie on
// another, on a node or on another edge, whatever the cell.
//
// "Along" is the direction from the inputs to the output, "across" the other.

// Sizes, in pixels.
const (
	nodeRadius  = 16.0
	labelHeight = 19.0
	labelText   = 12.0 // font size
	labelPad    = 6.0  // inside a label's box, left and right
	arrowLength = 8.0

	slotSpace   = 7.0  // across, between a label or a node and what is beside it
	wireSpace   = 12.0 // across, between two edges that pass
	gapLeast    = 22.0 // along, between two columns
	gapMost     = 64.0
	gapSlope    = 0.35 // along, for each pixel that an edge moves across
	chartMargin = 4.0
)

// A link is an edge to be laid out.
type link struct {
	from, to int     // nodes; the output is the last node
	label    float64 // the width of its label's box, 0 for none
	weight   int     // how much it matters that it is straight and uncrossed
}

type point struct{ x, y float64 }

type rect struct{ x, y, w, h float64 } // x, y is the upper left corner

// A chart is a laid-out cell.
type chart struct {
	w, h  float64
	nodes []point // centres
	wires []wire  // one for each link
}

// A wire is the course of a link: it starts at a point, follows curves and
// ends in an arrow.
type wire struct {
	start  point
	curves []curve
	tip    point   // of the arrow
	angle  float64 // of the arrow, in radians
	label  rect    // the slot of its label
}

// A curve is a cubic curve: two controls and the end.
type curve struct{ a, b, end point }

// A slot is what stands in a column: a node, an edge that passes, or its label.
type slot struct {
	node         int // or -1
	link         int // or -1
	label        bool
	column, rank int       // where it stands: its column, and its place there
	mean         float64   // of its neighbours' ranks
	block        int       // the slots that stand in line with it
	before       []segment // from the previous column
	after        []segment
}

// segment joins two slots of adjacent columns.
type segment struct{ from, to, weight int }

// other returns the end that is not slot i.
func (s segment) other(i int) int { return s.from + s.to - i }

type planner struct {
	links    []link
	vertical bool // along is down, not right
	slots    []slot
	chains   [][]int // slots of each link, from node to node
	columns  [][]int
	gaps     [][]segment // between column i and i+1
	across   []float64   // centre of each block
}

// plan lays out a cell of n nodes, the inputs 0 and 1 and the output n-1 among them.
func plan(n int, links []link, vertical bool) chart {
	p := planner{links: links, vertical: vertical}
	p.fill(n, layers(n, links))
	p.order()
	p.align()
	p.place()
	return p.chart(n)
}

// layers returns the layer of each node: the length of the longest way from an input.
func layers(n int, links []link) []int {
	layer := make([]int, n)
	sorted := slices.Clone(links)
	slices.SortStableFunc(sorted, func(a, b link) int { return a.to - b.to })
	for _, l := range sorted {
		layer[l.to] = max(layer[l.to], layer[l.from]+1)
	}
	layer[n-1] = max(1, slices.Max(layer[2:n-1])+1)
	return layer
}

// fill makes the columns: layer i is column 2i.
func (p *planner) fill(n int, layer []int) {
	p.columns = make([][]int, 2*layer[n-1]+1)
	p.gaps = make([][]segment, len(p.columns)-1)
	for v := range n {
		p.add(2*layer[v], slot{node: v, link: -1})
	}
	for i, l := range p.links {
		chain := []int{l.from}
		last := 2*layer[l.to] - 1
		for c := 2*layer[l.from] + 1; c <= last; c++ {
			chain = append(chain, p.add(c, slot{node: -1, link: i, label: c == last && l.label > 0}))
		}
		chain = append(chain, l.to)
		for j := range chain[1:] {
			p.join(2*layer[l.from]+j, segment{chain[j], chain[j+1], l.weight})
		}
		p.chains = append(p.chains, chain)
	}
}

func (p *planner) add(column int, s slot) int {
	s.column, s.rank = column, len(p.columns[column])
	p.slots = append(p.slots, s)
	p.columns[column] = append(p.columns[column], len(p.slots)-1)
	return len(p.slots) - 1
}

func (p *planner) join(gap int, s segment) {
	p.gaps[gap] = append(p.gaps[gap], s)
	p.slots[s.from].after = append(p.slots[s.from].after, s)
	p.slots[s.to].before = append(p.slots[s.to].before, s)
}

// order arranges the slots of each column so that few edges cross. Sweeps sort
// columns by the mean place of neighbours, then exchange neighbouring slots;
// several starts, always the same, lead out of dead ends. Of equally good
// orders the one with the shortest edges is taken.
func (p *planner) order() {
	random := rand.New(rand.NewPCG(1, 2))
	starts := max(2, min(24, 3000/len(p.slots)))
	fewest, length, ranks := math.MaxInt, 0.0, p.ranks()
	for start := range starts {
		if start > 0 {
			for _, column := range p.columns {
				random.Shuffle(len(column), func(i, j int) { column[i], column[j] = column[j], column[i] })
			}
			p.rerank()
		}
		for sweep := range 8 {
			for i := range p.columns {
				if sweep%2 == 0 {
					p.sortColumn(i, true)
				} else {
					p.sortColumn(len(p.columns)-1-i, false)
				}
			}
			p.exchange()
			crossings := p.crossings()
			if crossings > fewest {
				continue
			}
			if n := p.length(); crossings < fewest || n < length {
				fewest, length, ranks = crossings, n, p.ranks()
			}
		}
	}
	// A picture and its mirror image are equally good: node -2 comes first.
	mirrored := ranks[0] > ranks[1]
	for _, column := range p.columns {
		slices.SortFunc(column, func(a, b int) int { return ranks[a] - ranks[b] })
		if mirrored {
			slices.Reverse(column)
		}
	}
	p.rerank()
}

func (p *planner) ranks() []int {
	ranks := make([]int, len(p.slots))
	for i, s := range p.slots {
		ranks[i] = s.rank
	}
	return ranks
}

func (p *planner) rerank() {
	for _, column := range p.columns {
		for r, i := range column {
			p.slots[i].rank = r
		}
	}
}

// crossings is the weight of all crossings.
func (p *planner) crossings() (sum int) {
	for _, gap := range p.gaps {
		for i, s := range gap {
			for _, t := range gap[:i] {
				if p.cross(s, t) {
					sum += s.weight * t.weight
				}
			}
		}
	}
	return sum
}

// length is how far all edges move across, in ranks from the middle of each column.
func (p *planner) length() float64 {
	sum := 0.0
	height := func(i int) float64 {
		s := p.slots[i]
		return float64(s.rank) - float64(len(p.columns[s.column])-1)/2
	}
	for _, gap := range p.gaps {
		for _, s := range gap {
			sum += float64(s.weight) * math.Abs(height(s.from)-height(s.to))
		}
	}
	return sum
}

// sortColumn sorts a column by the mean rank of the neighbours on one side.
func (p *planner) sortColumn(c int, forward bool) {
	for _, i := range p.columns[c] {
		s := &p.slots[i]
		near := s.before
		if !forward {
			near = s.after
		}
		s.mean = float64(s.rank)
		if len(near) > 0 {
			sum := 0
			for _, seg := range near {
				sum += p.slots[seg.other(i)].rank
			}
			s.mean = float64(sum) / float64(len(near))
		}
	}
	slices.SortStableFunc(p.columns[c], func(a, b int) int { return cmp.Compare(p.slots[a].mean, p.slots[b].mean) })
	for r, i := range p.columns[c] {
		p.slots[i].rank = r
	}
}

// exchange swaps neighbouring slots as long as that removes crossings.
func (p *planner) exchange() {
	for round := 0; round < 8; round++ {
		changed := false
		for _, column := range p.columns {
			for r := range column[:len(column)-1] {
				a, b := column[r], column[r+1]
				if p.cost(b, a) < p.cost(a, b) {
					column[r], column[r+1] = b, a
					p.slots[b].rank, p.slots[a].rank = r, r+1
					changed = true
				}
			}
		}
		if !changed {
			return
		}
	}
}

// cost is the weight of the crossings of the edges of slots a and b when a
// stands before b.
func (p *planner) cost(a, b int) (sum int) {
	for _, side := range [2][2][]segment{{p.slots[a].before, p.slots[b].before}, {p.slots[a].after, p.slots[b].after}} {
		for _, s := range side[0] {
			for _, t := range side[1] {
				if p.slots[s.other(a)].rank > p.slots[t.other(b)].rank {
					sum += s.weight * t.weight
				}
			}
		}
	}
	return sum
}

func (p *planner) cross(s, t segment) bool {
	return (p.slots[s.from].rank-p.slots[t.from].rank)*(p.slots[s.to].rank-p.slots[t.to].rank) < 0
}

// align joins slots to blocks that share one place across, so that edges are
// straight: long edges along their course, and the most important edge on
// either side of a node. Segments that cross are never both straight.
func (p *planner) align() {
	for i := range p.slots {
		p.slots[i].block = i
	}
	for _, gap := range p.gaps {
		sorted := slices.Clone(gap)
		slices.SortStableFunc(sorted, func(a, b segment) int { return p.straightness(b) - p.straightness(a) })
		var taken []segment
		for _, s := range sorted {
			if p.straightness(s) > 0 && !slices.ContainsFunc(taken, func(t segment) bool {
				return s.from == t.from || s.to == t.to || p.cross(s, t)
			}) {
				taken = append(taken, s)
				p.slots[s.to].block = p.slots[s.from].block
			}
		}
	}
}

// straightness ranks segments by how much the picture gains when they are
// straight: operations that lead from a node to the next, then long edges along
// their course. Several edges lead to the output evenly.
func (p *planner) straightness(s segment) int {
	from, to := p.slots[s.from], p.slots[s.to]
	switch short := from.node < 0 && len(p.chains[from.link]) == 3 || to.node < 0 && len(p.chains[to.link]) == 3; {
	case to.column == len(p.columns)-1 && len(to.before) > 1:
		return 0
	case from.node < 0 && to.node < 0:
		return 4
	case s.weight == 1: // null
		return 0
	case short:
		return 2*s.weight + 1
	}
	return 2 * s.weight
}

// extent is the room that a slot takes across.
func (p *planner) extent(s slot) float64 {
	switch {
	case s.node >= 0:
		return 2 * nodeRadius
	case s.label && p.vertical:
		return p.links[s.link].label
	case s.label:
		return labelHeight
	}
	return 0
}

// distance is what lies at least between the centres of neighbours in a column.
func (p *planner) distance(a, b slot) float64 {
	space := slotSpace
	if ea, eb := p.extent(a), p.extent(b); ea == 0 && eb == 0 {
		space = wireSpace
	} else if a.node >= 0 && b.node >= 0 {
		space = 2 * slotSpace
	}
	return (p.extent(a)+p.extent(b))/2 + space
}

type rule struct {
	a, b int // blocks: b stands at least apart after a
	gap  float64
}

// place finds the place across of every block: each is drawn to its neighbours,
// and pushed away until all distances are kept.
func (p *planner) place() {
	p.across = make([]float64, len(p.slots))
	var rules []rule
	for _, column := range p.columns {
		y := 0.0
		for r, i := range column {
			s := p.slots[i]
			if r > 0 {
				before := p.slots[column[r-1]]
				d := p.distance(before, s)
				rules = append(rules, rule{before.block, s.block, d})
				y += d
			}
			p.across[s.block] = max(p.across[s.block], y)
		}
	}
	settle(p.across, rules)
	for range 400 {
		p.pull()
		for range 4 {
			push(p.across, rules)
		}
	}
	settle(p.across, rules)
}

// pull moves every block towards the mean of the blocks that it is joined to,
// and a little to the middle, so that what is joined to nothing stays near.
func (p *planner) pull() {
	middle := 0.0
	for _, s := range p.slots {
		middle += p.across[s.block] / float64(len(p.slots))
	}
	sum, weight := make([]float64, len(p.slots)), make([]float64, len(p.slots))
	for i := range p.slots {
		sum[i], weight[i] = gravity*middle, gravity
	}
	for _, gap := range p.gaps {
		for _, s := range gap {
			a, b := p.slots[s.from].block, p.slots[s.to].block
			if a == b {
				continue
			}
			w := float64(s.weight)
			sum[a] += w * p.across[b]
			sum[b] += w * p.across[a]
			weight[a] += w
			weight[b] += w
		}
	}
	for i, w := range weight {
		p.across[i] += (sum[i]/w - p.across[i]) / 2
	}
}

// gravity is the pull to the middle, where an edge pulls with 1 to 3.
const gravity = 0.02

func push(y []float64, rules []rule) {
	for _, r := range rules {
		if short := r.gap - (y[r.b] - y[r.a]); short > 0 {
			y[r.a] -= short / 2
			y[r.b] += short / 2
		}
	}
}

// settle pushes in one direction until every rule holds. Blocks are free of
// cycles, as straight segments never cross, so it ends.
func settle(y []float64, rules []rule) {
	for moved, round := true, 0; moved && round <= len(y); round++ {
		moved = false
		for _, r := range rules {
			if y[r.b] < y[r.a]+r.gap {
				y[r.b] = y[r.a] + r.gap
				moved = true
			}
		}
	}
}

// chart turns columns and places into coordinates.
func (p *planner) chart(n int) chart {
	low, high := p.bounds()
	for i := range p.across {
		p.across[i] += chartMargin - low
	}
	starts, ends := p.along()
	c := chart{w: ends[len(ends)-1] + chartMargin, h: high - low + 2*chartMargin, nodes: make([]point, n)}
	at := func(along float64, slot int) point { return point{along, p.across[p.slots[slot].block]} }
	for col, column := range p.columns {
		for _, i := range column {
			if v := p.slots[i].node; v >= 0 {
				c.nodes[v] = at((starts[col]+ends[col])/2, i)
			}
		}
	}
	angles := p.angles(n)
	for i, chain := range p.chains {
		c.wires = append(c.wires, p.wire(chain, angles[i], starts, ends, c.nodes))
	}
	if p.vertical {
		c.transpose()
	}
	return c
}

func (p *planner) bounds() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, s := range p.slots {
		low = min(low, p.across[s.block]-p.extent(s)/2)
		high = max(high, p.across[s.block]+p.extent(s)/2)
	}
	return low, high
}

// along returns where each column starts and ends.
func (p *planner) along() (starts, ends []float64) {
	x := chartMargin
	for c, column := range p.columns {
		thick := 0.0
		for _, i := range column {
			thick = max(thick, p.thickness(p.slots[i]))
		}
		starts, ends = append(starts, x), append(ends, x+thick)
		x += thick
		if c < len(p.gaps) {
			x += p.gap(c)
		}
	}
	return starts, ends
}

func (p *planner) thickness(s slot) float64 {
	switch {
	case s.node >= 0:
		return 2 * nodeRadius
	case s.label && p.vertical:
		return labelHeight
	case s.label:
		return p.links[s.link].label
	}
	return 0
}

// gap is the room between column c and the next: edges that move far need more.
func (p *planner) gap(c int) float64 {
	far := 0.0
	for _, s := range p.gaps[c] {
		far = max(far, math.Abs(p.across[p.slots[s.to].block]-p.across[p.slots[s.from].block]))
	}
	return min(gapMost, gapLeast+gapSlope*far)
}

// angles returns for each link the direction in which it leaves and enters its
// nodes. Edges that enter one node keep apart, so that their arrows do.
func (p *planner) angles(n int) [][2]float64 {
	angles := make([][2]float64, len(p.links))
	entering := make([][]int, n)
	for i, chain := range p.chains {
		y := func(j int) float64 { return p.across[p.slots[chain[j]].block] }
		last := len(chain) - 1
		angles[i] = [2]float64{lean(y(1) - y(0)), lean(y(last) - y(last-1))}
		entering[p.links[i].to] = append(entering[p.links[i].to], i)
	}
	for _, in := range entering {
		slices.SortStableFunc(in, func(a, b int) int { return cmp.Compare(angles[b][1], angles[a][1]) })
		spread(in, angles)
	}
	return angles
}

// Angles between an edge and the direction of the picture, where they meet a node.
const (
	steepest = 55 * math.Pi / 180
	apart    = 30 * math.Pi / 180 // between two edges that enter one node
)

// lean is the angle at which an edge meets a node when it moves dy across.
func lean(dy float64) float64 { return steepest * dy / (math.Abs(dy) + 30) }

// spread turns the edges that enter one node, sorted by falling angle, away
// from each other. A straight one stays straight where there is room.
func spread(in []int, angles [][2]float64) {
	step := min(apart, 2*steepest/math.Max(1, float64(len(in)-1)))
	at := func(j int) *float64 { return &angles[in[j]][1] }
	if len(in) == 2 {
		switch short := max(0, step-(*at(0)-*at(1))); {
		case *at(0) == 0:
			*at(1) -= short
		case *at(1) == 0:
			*at(0) += short
		default:
			*at(0) += short / 2
			*at(1) -= short / 2
		}
	}
	for j := len(in) - 1; j >= 0; j-- {
		if j == len(in)-1 {
			*at(j) = max(*at(j), -steepest)
		} else {
			*at(j) = max(*at(j), *at(j + 1)+step)
		}
	}
	for j := range in {
		if j == 0 {
			*at(j) = min(*at(j), steepest)
		} else {
			*at(j) = min(*at(j), *at(j - 1)-step)
		}
	}
}

// wire draws a link through the slots of its chain: across the gaps in curves,
// through the columns straight.
func (p *planner) wire(chain []int, angle [2]float64, starts, ends []float64, nodes []point) wire {
	last := len(chain) - 1
	from, to := nodes[p.slots[chain[0]].node], nodes[p.slots[chain[last]].node]
	w := wire{start: polar(from, nodeRadius, angle[0]), tip: polar(to, -nodeRadius, angle[1]), angle: angle[1]}
	here := w.start
	for j, i := range chain[1:last] {
		s := p.slots[i]
		start := point{starts[s.column], p.across[s.block]}
		half := (start.x - here.x) / 2
		leave := point{here.x + half, here.y}
		if j == 0 {
			leave = polar(from, nodeRadius+half, angle[0])
		}
		here = point{ends[s.column], start.y}
		w.curves = append(w.curves, curve{leave, point{start.x - half, start.y}, start}, curve{start, here, here})
		if s.label {
			mid, along, across := (start.x+here.x)/2, p.thickness(s), p.extent(s)
			w.label = rect{mid - along/2, start.y - across/2, along, across}
		}
	}
	neck := polar(to, 1-nodeRadius-arrowLength, angle[1])
	half := (neck.x - here.x) / 2
	w.curves = append(w.curves, curve{point{here.x + half, here.y}, polar(to, -nodeRadius-arrowLength-half, angle[1]), neck})
	return w
}

func polar(c point, r, angle float64) point {
	return point{c.x + r*math.Cos(angle), c.y + r*math.Sin(angle)}
}

// transpose exchanges x and y.
func (c *chart) transpose() {
	flip := func(p *point) { p.x, p.y = p.y, p.x }
	c.w, c.h = c.h, c.w
	for i := range c.nodes {
		flip(&c.nodes[i])
	}
	for i := range c.wires {
		w := &c.wires[i]
		flip(&w.start)
		flip(&w.tip)
		w.angle = math.Pi/2 - w.angle
		w.label = rect{w.label.y, w.label.x, w.label.h, w.label.w}
		for j := range w.curves {
			flip(&w.curves[j].a)
			flip(&w.curves[j].b)
			flip(&w.curves[j].end)
		}
	}
}
