package search

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// What a policy takes for granted before anything was measured. Deviations are
// of natural logarithms.
const (
	scaleDeviation  = 3.0 // of the scale of all that is destroyed
	slopeDeviation  = 0.3 // of the power of Harm that it grows by, around 1
	leastHarm       = 0.01
	gcnDeviation    = 0.7  // of the network's weights, times 1/sqrt(rows)
	ownDeviation    = 0.6  // of what an option destroys, beside what weights say
	factorDeviation = 0.15 // of what an option multiplies the loss by
	// Losses grow as the first power of what is destroyed where errors are in all
	// directions, as the second where they are in one, for divergences are
	// squares of errors.
	powerMean, powerDeviation, leastPower = 1.5, 0.5, 0.5
	// What the model cannot say of candidates, times the policy's doubt: what those
	// have in common that differ at few sites, and what each has alone.
	strayDeviation, strayLength, noiseDeviation = 0.15, 3.0, 0.05
	leastDoubt, mostDoubt                       = 0.3, 5.0
)

// A policy says what options destroy. It starts from the graph and from Harm, and
// learns from losses.
type policy struct {
	*session
	rng    *rand.Rand
	net    *gcn
	placed []placed
	at     [][]int // index of placed, by site and option; -1: the site as it is

	// The weights of net, of 1 and of the logarithm of Harm: now, and their means
	// and variances before anything was measured.
	weights, prior, variance []float64
	own                      []float64 // of each placed option
	power, doubt             float64

	belief
}

// A placed option is one that changes its site.
type placed struct {
	change
	Option
}

func newPolicy(s *session, rng *rand.Rand) *policy {
	p := &policy{session: s, rng: rng, power: powerMean, doubt: 1}
	p.net, p.weights = newGCN(s.Graph, rng, 2)
	for _, l := range p.net.layers {
		for range l.w {
			p.variance = append(p.variance, gcnDeviation*gcnDeviation/float64(l.rows))
		}
	}
	p.weights[len(p.weights)-1] = 1
	p.prior = slices.Clone(p.weights)
	p.variance = append(p.variance, scaleDeviation*scaleDeviation, slopeDeviation*slopeDeviation)
	for i, site := range s.Sites {
		row := slices.Repeat([]int{-1}, len(site.Options))
		for _, o := range s.options[i][1:] {
			row[o] = len(p.placed)
			p.placed = append(p.placed, placed{change{i, o}, site.Options[o]})
		}
		p.at = append(p.at, row)
	}
	p.own = make([]float64, len(p.placed))
	p.learn()
	return p
}

// inputs are what the last two weights are multiplied by.
func (o placed) inputs() []float64 { return []float64{1, math.Log(o.Harm + leastHarm)} }

// scores returns the logarithm of what each option destroys, and its gradient by
// the weights, a row per option.
func (p *policy) scores() (scores []float64, jacobian *mat.Dense) {
	jacobian = mat.NewDense(len(p.placed), len(p.weights), nil)
	pass := p.net.forward()
	for i, o := range p.placed {
		odds := make([]float64, len(pass.logits)) // of keeping its operations, the mean
		for _, a := range o.Actions {
			odds[a.Node*actions] += 1 / float64(len(o.Actions))
			odds[a.Node*actions+a.To] -= 1 / float64(len(o.Actions))
		}
		last := o.inputs()
		jacobian.SetRow(i, append(p.net.backward(pass, odds), last...))
		tail := p.weights[len(p.weights)-len(last):]
		scores = append(scores, p.own[i]+dot(odds, pass.logits)+dot(last, tail))
	}
	return scores, jacobian
}

func dot(x, y []float64) (sum float64) {
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// A belief is what is known of the effects of options: first, the logarithm of
// what each destroys, then the logarithm of what each multiplies the loss by.
type belief struct {
	jacobian *mat.Dense // of the first effects by weights
	start    []float64  // before anything was measured
	likely   []float64
	evidence // empty before anything was measured
}

// Evidence is what measured losses say, near the likely effects.
type evidence struct {
	slopes *mat.Dense    // of log losses, a row each, by effects
	powers *mat.VecDense // and by the power
	common *mat.Dense    // covariance, at the start, of effects and log losses
	losses *mat.Cholesky // and of log losses
	strays *mat.TriDense // and, as a factor, of what the model cannot say of them
	wanted *mat.VecDense // log losses, less those of the start
}

// learn finds the most likely weights and effects, given all losses.
func (p *policy) learn() {
	scores, jacobian := p.scores()
	m := len(scores)
	b := belief{jacobian: jacobian, start: make([]float64, 2*m), likely: slices.Concat(scores, make([]float64, m))}
	for i := range m {
		b.start[i] = scores[i] - p.own[i]
		for j, w := range p.weights {
			b.start[i] += jacobian.At(i, j) * (p.prior[j] - w)
		}
	}
	if p.likely != nil {
		copy(b.likely[m:], p.likely[m:])
	}
	p.belief = b
	measured := p.found[1:]
	if len(measured) == 0 {
		return
	}
	covariance, strays, logs := p.covariance(), p.straying(measured), logLosses(measured)
	const iterations, step = 6, 0.7 // not all the way: slopes change
	for range iterations {
		e := p.look(measured, logs)
		if !e.weigh(covariance, strays) {
			return
		}
		p.evidence = e
		effects, power := p.given(p.start, powerMean, e.wanted)
		for i, x := range effects {
			p.likely[i] += step * (x - p.likely[i])
		}
		p.power += step * (power - p.power)
	}
	p.adopt()
	p.reconsider(covariance, strays)
}

// look says how log losses depend on effects near the likely ones: a loss is the
// sum of what its options destroy, to the power, times their factors.
func (p *policy) look(measured []Candidate, logs []float64) (e evidence) {
	m, n := len(p.placed), len(measured)
	e.slopes, e.powers, e.wanted = mat.NewDense(n, 2*m, nil), mat.NewVecDense(n, nil), mat.NewVecDense(n, nil)
	for k, c := range measured {
		sum, row := 0.0, e.slopes.RawRowView(k)
		for site, o := range c.Choice {
			if i := p.at[site][o]; i >= 0 {
				row[i], row[m+i] = math.Exp(bounded(p.likely[i])), 1
				sum += row[i]
			}
		}
		level := math.Log(sum)
		wanted := logs[k] - powerMean*level
		for i, destroyed := range row[:m] {
			row[i] = p.power * destroyed / sum
			wanted += row[i] * (p.likely[i] - p.start[i])
		}
		e.powers.SetVec(k, level)
		e.wanted.SetVec(k, wanted)
	}
	return e
}

// weigh finds the covariances of what is measured. It reports false where they
// are not positive definite in the precision there is.
func (e *evidence) weigh(first *mat.Dense, strays *mat.SymDense) bool {
	m, _ := first.Dims()
	n, _ := strays.Dims()
	e.common = mat.NewDense(2*m, n, nil)
	block := func(of *mat.Dense, i, j, rows, cols int) *mat.Dense {
		return of.Slice(i, i+rows, j, j+cols).(*mat.Dense)
	}
	block(e.common, 0, 0, m, n).Mul(first, block(e.slopes, 0, 0, n, m).T())
	block(e.common, m, 0, m, n).Scale(factorDeviation*factorDeviation, block(e.slopes, 0, m, n, m).T())
	var total mat.Dense
	total.Mul(e.slopes, e.common)
	all := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			all.SetSym(i, j, total.At(i, j)+strays.At(i, j)+powerDeviation*powerDeviation*e.powers.AtVec(i)*e.powers.AtVec(j))
		}
	}
	e.losses, e.strays = &mat.Cholesky{}, &mat.TriDense{}
	var own mat.Cholesky
	if !e.losses.Factorize(all) || !own.Factorize(strays) {
		return false
	}
	own.LTo(e.strays)
	return true
}

// given returns what effects and a power become when they are seen to lack so
// much of the log losses.
func (e *evidence) given(effects []float64, power float64, lack *mat.VecDense) ([]float64, float64) {
	var weights, more mat.VecDense
	if err := e.losses.SolveVecTo(&weights, lack); err != nil {
		return effects, power // too badly conditioned to say anything
	}
	more.MulVec(e.common, &weights)
	power += powerDeviation * powerDeviation * mat.Dot(e.powers, &weights)
	result := slices.Clone(effects)
	for i := range result {
		result[i] += more.AtVec(i)
	}
	return result, power
}

// reconsider doubts more or less, next time, if that makes the losses likelier.
func (p *policy) reconsider(covariance *mat.Dense, strays *mat.SymDense) {
	const factor = 1.5
	best, doubt := p.likelihood(), p.doubt
	for _, f := range []float64{1 / factor, factor} {
		e := p.evidence
		var other mat.SymDense
		other.ScaleSym(f*f, strays)
		if e.weigh(covariance, &other) && e.likelihood() > best {
			best, doubt = e.likelihood(), p.doubt*f
		}
	}
	p.doubt = min(max(doubt, leastDoubt), mostDoubt)
}

// likelihood returns the logarithm of that of the losses, but for a constant.
func (e *evidence) likelihood() float64 {
	var weights mat.VecDense
	if e.losses.SolveVecTo(&weights, e.wanted) != nil {
		return math.Inf(-1)
	}
	return -(mat.Dot(&weights, e.wanted) + e.losses.LogDet()) / 2
}

// adopt gives weights and own effects the values that explain the likely effects.
func (p *policy) adopt() {
	var weights, by, move mat.VecDense
	if err := p.losses.SolveVecTo(&weights, p.wanted); err != nil {
		return
	}
	by.MulVec(p.slopes.T(), &weights)
	first := by.SliceVec(0, len(p.placed))
	move.MulVec(p.jacobian.T(), first)
	for i := range p.own {
		p.own[i] = ownDeviation * ownDeviation * first.AtVec(i)
	}
	for j := range p.weights {
		p.weights[j] = p.prior[j] + p.variance[j]*move.AtVec(j)
	}
}

// covariance returns that of the first effects before anything was measured.
func (p *policy) covariance() *mat.Dense {
	var scaled, c mat.Dense
	scaled.Apply(func(_, j int, v float64) float64 { return v * p.variance[j] }, p.jacobian)
	c.Mul(&scaled, p.jacobian.T())
	for i := range p.placed {
		c.Set(i, i, c.At(i, i)+ownDeviation*ownDeviation)
	}
	return &c
}

// straying returns the covariance of what the model cannot say: candidates that
// differ at few sites have most of it in common.
func (p *policy) straying(measured []Candidate) *mat.SymDense {
	c := mat.NewSymDense(len(measured), nil)
	for i, a := range measured {
		for j := i; j < len(measured); j++ {
			differ := 0
			for site, o := range measured[j].Choice {
				if a.Choice[site] != o {
					differ++
				}
			}
			c.SetSym(i, j, strayDeviation*strayDeviation*math.Exp(-float64(differ)/strayLength))
		}
		c.SetSym(i, i, c.At(i, i)+noiseDeviation*noiseDeviation)
	}
	c.ScaleSym(p.doubt*p.doubt, c)
	return c
}

// logLosses returns logarithms. Those that are off the middle by more than
// a factor of 1000 count as if by that: nothing else would matter beside them.
func logLosses(measured []Candidate) (logs []float64) {
	for _, c := range measured {
		logs = append(logs, math.Log(max(c.Loss, 1e-300)))
	}
	sorted := slices.Sorted(slices.Values(logs))
	middle, most := sorted[len(sorted)/2], math.Log(1000)
	for i, l := range logs {
		logs[i] = min(max(l, middle-most), middle+most)
	}
	return logs
}

// bounded keeps exponentials, and the sums and ratios of some, finite.
func bounded(x float64) float64 { return min(max(x, -100), 100) }

// A draw is one way that effects may be, given what is known.
type draw struct {
	destroyed, factor [][]float64 // by site and option; factors by their logarithm
	power             float64
}

// draw draws effects, so many times as far from the likely ones as what is known
// allows: 0 gives the likely ones (Matheron's rule: a draw from before anything
// was measured, corrected by what it lacks of what was measured).
func (p *policy) draw(temperature float64) draw {
	m := len(p.placed)
	effects, power := slices.Clone(p.start), powerMean+powerDeviation*p.rng.NormFloat64()
	shift := make([]float64, len(p.weights))
	for j, v := range p.variance {
		shift[j] = math.Sqrt(v) * p.rng.NormFloat64()
	}
	for i := range m {
		effects[i] += dot(p.jacobian.RawRowView(i), shift) + ownDeviation*p.rng.NormFloat64()
		effects[m+i] += factorDeviation * p.rng.NormFloat64()
	}
	if p.losses != nil {
		effects, power = p.given(effects, power, p.lack(effects, power))
	}
	d := draw{power: max(p.power+temperature*(power-p.power), leastPower)}
	for _, row := range p.at {
		destroyed, factor := make([]float64, len(row)), make([]float64, len(row))
		for o, i := range row {
			if i >= 0 {
				destroyed[o] = math.Exp(bounded(p.likely[i] + temperature*(effects[i]-p.likely[i])))
				factor[o] = p.likely[m+i] + temperature*(effects[m+i]-p.likely[m+i])
			}
		}
		d.destroyed, d.factor = append(d.destroyed, destroyed), append(d.factor, factor)
	}
	return d
}

// lack returns what effects and a power leave to explain of the log losses, by
// draws of what the model cannot say.
func (p *policy) lack(effects []float64, power float64) *mat.VecDense {
	n := p.wanted.Len()
	z, x := mat.NewVecDense(n, nil), mat.NewVecDense(len(effects), nil)
	for k := range n {
		z.SetVec(k, p.rng.NormFloat64())
	}
	for i, e := range effects {
		x.SetVec(i, e-p.start[i])
	}
	var lack, explained, strays mat.VecDense
	explained.MulVec(p.slopes, x)
	strays.MulVec(p.strays, z)
	lack.SubVec(p.wanted, &explained)
	lack.SubVec(&lack, &strays)
	lack.AddScaledVec(&lack, powerMean-power, p.powers)
	return &lack
}
