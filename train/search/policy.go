package search

import (
	"math"
	"math/rand/v2"
)

// hidden is how many features a graph convolution gives a node.
const hidden = 8

// A policy scores options: a graph convolution network over the operations.
type policy struct {
	*session
	inputs                 []float64 // [node][width of layer 0], its input with what the neighbours have
	near                   [2][][]int
	weights                []float64
	prior                  []float64 // mean of the weights
	strength               []float64 // 1/variance of the weights
	layer                  [3]span
	bias, harm, power, own span
	index                  [][]int // of own weights, by site and option
}

// A span is a matrix among the weights.
type span struct{ at, rows, cols int }

func newPolicy(s *session, rng *rand.Rand) *policy {
	p := &policy{session: s}
	features := len(s.Graph.Names)
	nodes := len(s.Graph.Features)
	p.near = [2][][]int{make([][]int, nodes), make([][]int, nodes)}
	for _, e := range s.Graph.Edges {
		p.near[0][e[1]] = append(p.near[0][e[1]], e[0])
		p.near[1][e[0]] = append(p.near[1][e[0]], e[1])
	}
	x := make([]float64, 0, nodes*features)
	for _, row := range s.Graph.Features {
		x = append(x, row...)
	}
	standardize(x, features)
	p.inputs = p.gather(x, features)
	p.layer[0] = p.add(rng, 3*features+1, hidden, 1/math.Sqrt(3*float64(features)+1))
	p.layer[1] = p.add(rng, 3*hidden+1, hidden, 1/math.Sqrt(3*hidden+1))
	p.layer[2] = p.add(rng, hidden+1, actions, 0.3)
	out := p.layer[2]
	for i := range out.rows * out.cols {
		p.weights[out.at+i], p.prior[out.at+i] = 0, 0
	}
	p.bias = p.fixed(0, 3)
	p.harm = p.fixed(1, 0.3)
	p.power = p.fixed(1, 0.2)
	for _, site := range s.Sites {
		var row []int
		for range site.Options {
			row = append(row, p.fixed(0, 0.6).at)
		}
		p.index = append(p.index, row)
	}
	return p
}

func (p *policy) fixed(mean, deviation float64) span {
	s := span{len(p.weights), 1, 1}
	p.weights, p.prior, p.strength = append(p.weights, mean), append(p.prior, mean), append(p.strength, 1/(deviation*deviation))
	return s
}

func (p *policy) add(rng *rand.Rand, rows, cols int, deviation float64) span {
	s := span{len(p.weights), rows, cols}
	for range rows * cols {
		p.fixed(deviation*rng.NormFloat64(), deviation)
	}
	return s
}

func standardize(x []float64, cols int) {
	rows := len(x) / max(cols, 1)
	for c := range cols {
		sum, square := 0.0, 0.0
		for r := range rows {
			sum += x[r*cols+c]
			square += x[r*cols+c] * x[r*cols+c]
		}
		mean := sum / float64(rows)
		deviation := math.Sqrt(max(square/float64(rows)-mean*mean, 0))
		for r := range rows {
			if deviation < 1e-9 {
				x[r*cols+c] = 0
				continue
			}
			x[r*cols+c] = (x[r*cols+c] - mean) / deviation
		}
	}
}

// gather returns for each node what it has, the mean of what those have that it
// reads, the mean of those that read it, and 1.
func (p *policy) gather(x []float64, cols int) []float64 {
	width := 3*cols + 1
	out := make([]float64, len(p.near[0])*width)
	for v := range p.near[0] {
		row := out[v*width:][:width]
		copy(row, x[v*cols:][:cols])
		for d, near := range p.near {
			for _, u := range near[v] {
				for c := range cols {
					row[(d+1)*cols+c] += x[u*cols+c] / float64(len(near[v]))
				}
			}
		}
		row[width-1] = 1
	}
	return out
}

// scatter is the transpose of gather.
func (p *policy) scatter(g []float64, cols int) []float64 {
	width := 3*cols + 1
	out := make([]float64, len(p.near[0])*cols)
	for v := range p.near[0] {
		row := g[v*width:][:width]
		for c := range cols {
			out[v*cols+c] += row[c]
		}
		for d, near := range p.near {
			for _, u := range near[v] {
				for c := range cols {
					out[u*cols+c] += row[(d+1)*cols+c] / float64(len(near[v]))
				}
			}
		}
	}
	return out
}

// product returns x W.
func (p *policy) product(x []float64, s span) []float64 {
	n := len(x) / s.rows
	y := make([]float64, n*s.cols)
	for i := range n {
		row := y[i*s.cols:][:s.cols]
		for k, v := range x[i*s.rows:][:s.rows] {
			for j, w := range p.weights[s.at+k*s.cols:][:s.cols] {
				row[j] += v * w
			}
		}
	}
	return y
}

// back adds to grad that of W, and returns that of x.
func (p *policy) back(x, gy []float64, s span, grad []float64) []float64 {
	n := len(x) / s.rows
	gx := make([]float64, len(x))
	for i := range n {
		row := gy[i*s.cols:][:s.cols]
		for k, v := range x[i*s.rows:][:s.rows] {
			w, g := p.weights[s.at+k*s.cols:][:s.cols], grad[s.at+k*s.cols:][:s.cols]
			sum := 0.0
			for j, r := range row {
				g[j] += v * r
				sum += w[j] * r
			}
			gx[i*s.rows+k] = sum
		}
	}
	return gx
}

type activations struct {
	x1, h1, x2, h2, x3, logits []float64
}

func tanh(x []float64) []float64 {
	for i, v := range x {
		x[i] = math.Tanh(v)
	}
	return x
}

func (p *policy) forward() (a activations) {
	a.x1 = p.inputs
	a.h1 = tanh(p.product(a.x1, p.layer[0]))
	a.x2 = p.gather(a.h1, hidden)
	a.h2 = tanh(p.product(a.x2, p.layer[1]))
	for i := range len(a.h2) / hidden {
		a.x3 = append(append(a.x3, a.h2[i*hidden:][:hidden]...), 1)
	}
	a.logits = p.product(a.x3, p.layer[2])
	return a
}

func (p *policy) backward(a activations, glogits, grad []float64) {
	g3 := p.back(a.x3, glogits, p.layer[2], grad)
	g := make([]float64, len(a.h2))
	for i, h := range a.h2 {
		g[i] = g3[i/hidden*(hidden+1)+i%hidden] * (1 - h*h)
	}
	g = p.scatter(p.back(a.x2, g, p.layer[1], grad), hidden)
	for i, h := range a.h1 {
		g[i] *= 1 - h*h
	}
	p.back(a.x1, g, p.layer[0], grad)
}

// damages returns the logarithm of what each option destroys.
func (p *policy) damages(logits []float64) [][]float64 {
	d := make([][]float64, len(p.Sites))
	for i, site := range p.Sites {
		d[i] = make([]float64, len(site.Options))
		for o, option := range site.Options {
			if o == 0 {
				d[i][o] = math.Inf(-1)
				continue
			}
			x := p.weights[p.bias.at] + p.weights[p.harm.at]*math.Log(option.Harm+0.01) + p.weights[p.index[i][o]]
			for _, a := range option.Actions {
				x += (logits[a.Node*actions] - logits[a.Node*actions+a.To]) / float64(len(option.Actions))
			}
			d[i][o] = x
		}
	}
	return d
}

// fit adapts the weights to what was found.
func (p *policy) fit(steps int, weight func(Candidate) float64) {
	const noise = 0.1
	m, v := make([]float64, len(p.weights)), make([]float64, len(p.weights))
	grad := make([]float64, len(p.weights))
	for t := 1; t <= steps; t++ {
		clear(grad)
		p.gradient(noise, weight, grad)
		rate := 0.05 * (1 - float64(t)/float64(steps+1))
		c1, c2 := 1-math.Pow(0.9, float64(t)), 1-math.Pow(0.99, float64(t))
		for i, g := range grad {
			g += p.strength[i] * (p.weights[i] - p.prior[i])
			m[i] = 0.9*m[i] + 0.1*g
			v[i] = 0.99*v[i] + 0.01*g*g
			p.weights[i] -= rate * (m[i] / c1) / (math.Sqrt(v[i]/c2) + 1e-8)
		}
	}
}

func (p *policy) gradient(noise float64, weight func(Candidate) float64, grad []float64) float64 {
	a := p.forward()
	d := p.damages(a.logits)
	glog := make([][]float64, len(d))
	for i := range d {
		glog[i] = make([]float64, len(d[i]))
	}
	power := p.weights[p.power.at]
	total := 0.0
	for _, c := range p.found[1:] {
		sum := 0.0
		for i, o := range c.Choice {
			if o != 0 {
				sum += math.Exp(d[i][o])
			}
		}
		if sum == 0 {
			continue
		}
		miss := power*math.Log(sum) - math.Log(max(min(c.Loss, hopeless), 1e-9))
		w := weight(c) / (noise * noise)
		total += w * miss * miss / 2
		grad[p.power.at] += w * miss * math.Log(sum)
		for i, o := range c.Choice {
			if o != 0 {
				glog[i][o] += w * miss * power * math.Exp(d[i][o]) / sum
			}
		}
	}
	glogits := make([]float64, len(a.logits))
	for i, site := range p.Sites {
		for o, option := range site.Options {
			g := glog[i][o]
			if g == 0 {
				continue
			}
			grad[p.bias.at] += g
			grad[p.harm.at] += g * math.Log(option.Harm+0.01)
			grad[p.index[i][o]] += g
			for _, act := range option.Actions {
				glogits[act.Node*actions] += g / float64(len(option.Actions))
				glogits[act.Node*actions+act.To] -= g / float64(len(option.Actions))
			}
		}
	}
	p.backward(a, glogits, grad)
	return total
}
