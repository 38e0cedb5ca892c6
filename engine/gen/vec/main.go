// Command vec generates the assembly of package engine/vec.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	for _, m := range machines() {
		for _, l := range loops {
			l.emit(m, nil)
		}
		for _, l := range optimizers {
			l.emit(m, flushTiny)
		}
		for _, f := range folds {
			f.emit(m)
		}
		m.dot4()
		m.finite()
	}
	transpose8()
	Generate()
}

// of2 is the body of a kernel of two slices.
func of2(f func(m *machine, a, b Op) reg.VecVirtual) func(*machine, vectors, vectors) vectors {
	return func(m *machine, in, _ vectors) vectors { return vectors{f(m, in[0], in[1])} }
}

// of1 is the body of a kernel of one slice.
func of1(f func(m *machine, a reg.VecVirtual) reg.VecVirtual) func(*machine, vectors, vectors) vectors {
	return func(m *machine, in, _ vectors) vectors { return vectors{f(m, in[0])} }
}

// by1 is the body of a kernel of one slice and a number.
func by1(f func(m *machine, a, s Op) reg.VecVirtual) func(*machine, vectors, vectors) vectors {
	return func(m *machine, in, s vectors) vectors { return vectors{f(m, in[0], s[0])} }
}

var loops = []loop{
	{"add", "dst", "a b", "", 4, of2((*machine).add)},
	{"sub", "dst", "a b", "", 4, of2((*machine).sub)},
	{"mul", "dst", "a b", "", 4, of2((*machine).mul)},
	{"div", "dst", "a b", "", 4, of2((*machine).div)},
	{"max", "dst", "a b", "", 4, of2((*machine).nanMax)},
	{"min", "dst", "a b", "", 4, of2((*machine).nanMin)},
	{"scale", "dst", "a", "s", 4, by1((*machine).mul)},
	{"offset", "dst", "a", "s", 4, by1((*machine).add)},
	{"axpy", "dst", "a dst", "s", 4, func(m *machine, in, s vectors) vectors {
		return vectors{m.accumulate(in[1], in[0], s[0])}
	}},
	{"mix4", "dst", "a b c d", "sa sb sc sd", 2, func(m *machine, in, s vectors) vectors {
		return vectors{m.accumulateAll(m.mul(in[0], s[0]), in[1:4], s[1:])}
	}},
	{"addMix4", "dst", "a b c d dst", "sa sb sc sd", 2, func(m *machine, in, s vectors) vectors {
		return vectors{m.accumulateAll(in[4], in[:4], s)}
	}},
	{"fill", "dst", "", "s", 4, func(_ *machine, _, s vectors) vectors { return s }},
	{"clamp", "dst", "a", "lo hi", 4, func(m *machine, in, s vectors) vectors {
		return vectors{m.clamp(in[0], s[0], s[1])}
	}},
	{"clampGrad", "dx", "dy v", "lo hi", 4, func(m *machine, in, s vectors) vectors {
		return vectors{m.inside(in[0], in[1], s)}
	}},
	{"addClampGrad", "dx", "dy v dx", "lo hi", 4, func(m *machine, in, s vectors) vectors {
		return vectors{m.add(in[2], m.inside(in[0], in[1], s))}
	}},

	{"affine", "dst", "x scale shift", "lo hi", 2, func(m *machine, in, s vectors) vectors {
		return vectors{m.clamp(m.accumulate(in[2], in[0], in[1]), s[0], s[1])}
	}},
	{"affineAdd", "dst", "x scale shift add", "lo hi", 2, func(m *machine, in, s vectors) vectors {
		return vectors{m.clamp(m.add(m.accumulate(in[2], in[0], in[1]), in[3]), s[0], s[1])}
	}},
	{"addTo", "sum*", "x sum*", "", 4, func(m *machine, in, _ vectors) vectors {
		return vectors{m.addDouble(in[1], in[0])}
	}},
	{"moments", "sum* squares*", "x sum* squares*", "", 4, func(m *machine, in, _ vectors) vectors {
		x := m.widen(in[0])
		VADDPD(x, in[1], in[1])
		VFMADD231PD(x, x, in[2])
		return in[1:]
	}},
	{"normSums", "sum* products*", "g x mean sum* products*", "", 2, func(m *machine, in, _ vectors) vectors {
		g, x, mean := in[0], in[1], in[2]
		VSUBPS(mean, x, x)
		VMULPS(g, x, x)
		return vectors{m.addDouble(in[3], g), m.addDouble(in[4], x)}
	}},
	{"normGrad", "dx", "g x mean byG byX constant", "", 2, func(m *machine, in, _ vectors) vectors {
		g, x, mean, byG, byX, constant := in[0], in[1], in[2], in[3], in[4], in[5]
		r := m.accumulate(constant, m.sub(x, mean), byX)
		return vectors{m.accumulate(r, g, byG)}
	}},

	{"exp", "dst", "a", "", 2, of1((*machine).exp)},
	{"sigmoid", "dst", "a", "", 2, of1((*machine).sigmoid)},
	{"tanh", "dst", "a", "", 2, of1((*machine).tanh)},
	{"hardSwish", "dst", "a", "", 4, of1(func(m *machine, a reg.VecVirtual) reg.VecVirtual {
		return m.mul(a, m.unit(m.horner(m.constant(1./6), a, m.constant(0.5))))
	})},
	{"hardSigmoid", "dst", "a", "alpha beta", 4, func(m *machine, in, s vectors) vectors {
		return vectors{m.unit(m.horner(in[0], s[0], s[1]))}
	}},
	{"sigmoidGrad", "dx", "dy y", "", 4, of2(func(m *machine, dy, y Op) reg.VecVirtual {
		return m.mul(dy, m.sub(y, m.mul(y, y)))
	})},
	{"tanhGrad", "dx", "dy y", "", 4, of2(func(m *machine, dy, y Op) reg.VecVirtual {
		return m.mul(dy, m.sub(m.constant(1), m.mul(y, y)))
	})},
	{"hardSwishGrad", "dx", "dy x", "", 4, of2(func(m *machine, dy, x Op) reg.VecVirtual {
		slope := m.horner(m.constant(1./3), x, m.constant(0.5))
		slope = m.keep(m.compare(notLess, x, m.constant(-3)), slope)
		slope = m.pick(m.compare(more, x, m.constant(3)), m.constant(1), slope)
		return m.mul(dy, slope)
	})},
}

// optimizers flush numbers too small for full precision to 0: weights that get no
// gradient decay to such, and reckoning with them is ten times slower.
var optimizers = []loop{
	{"sgd", "w v", "g w v", "lr momentum decay byV byG", 2, func(m *machine, in, s vectors) vectors {
		d, w, v := in[0], in[1], in[2]
		lr, momentum, decay, byV, byG := s[0], s[1], s[2], s[3], s[4]
		m.accumulate(d, decay, w)
		m.horner(v, momentum, d)
		VFNMADD231PS(m.accumulate(m.mul(d, byG), v, byV), lr, w)
		return vectors{w, v}
	}},
	{"adam", "w m v", "g w m v", "decay keepM takeM keepV takeV rate root eps", 1, func(m *machine, in, s vectors) vectors {
		d, w, first, second := in[0], in[1], in[2], in[3]
		decay, keepM, takeM, keepV, takeV, rate, root, eps := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
		m.accumulate(d, decay, w)
		m.horner(first, keepM, m.mul(d, takeM))
		m.horner(second, keepV, m.mul(m.mul(d, d), takeV))
		down := m.vector()
		VSQRTPS(second, down)
		m.horner(down, root, eps)
		return vectors{m.sub(w, m.div(m.mul(first, rate), down)), first, second}
	}},
}

var folds = []fold{
	{name: "sum", read: "a", result: "float64", join: addDouble,
		step: func(m *machine, sum reg.VecVirtual, in vectors) reg.VecVirtual { return addDouble(m, sum, in[0]) }},
	{name: "dot", read: "a b", result: "float64", join: addDouble,
		step: func(_ *machine, sum reg.VecVirtual, in vectors) reg.VecVirtual {
			VFMADD231PD(in[0], in[1], sum)
			return sum
		}},
	{name: "maxOf", read: "a", result: "float32", start: math.Inf(-1), join: (*machine).joinMax,
		step: func(m *machine, sum reg.VecVirtual, in vectors) reg.VecVirtual { return m.joinMax(sum, in[0]) }},
}

func addDouble(_ *machine, a, b reg.VecVirtual) reg.VecVirtual {
	VADDPD(b, a, a)
	return a
}

// accumulateAll sets sum to sum + a*b, summed over all of a and b, and returns it.
func (m *machine) accumulateAll(sum reg.VecVirtual, a, b vectors) reg.VecVirtual {
	for i := range a {
		m.accumulate(sum, a[i], b[i])
	}
	return sum
}

// addDouble adds half a vector of float32 to a vector of float64, and returns that.
func (m *machine) addDouble(sum reg.VecVirtual, a Op) reg.VecVirtual {
	VADDPD(m.widen(a), sum, sum)
	return sum
}

// joinMax is nanMax of vectors of any length; it returns b.
func (m *machine) joinMax(a, b reg.VecVirtual) reg.VecVirtual {
	VMAXPS(b, a, b)
	if m.is512() {
		nan := K()
		VCMPPS(U8(unordered), a, a, nan)
		VMOVAPS(a, nan, b)
		return b
	}
	var nan reg.Register = YMM()
	if b.Size() == 16 {
		nan = XMM()
	}
	VCMPPS(U8(unordered), a, a, nan)
	VBLENDVPS(nan, a, b, b)
	return b
}

// inside returns g, or 0 where v is at or beyond an end.
func (m *machine) inside(g, v Op, ends vectors) reg.VecVirtual {
	above := m.keep(m.compare(notLessEqual, v, ends[0]), g)
	return m.keep(m.compare(notMoreEqual, v, ends[1]), above)
}

// unit clamps to between 0 and 1.
func (m *machine) unit(x Op) reg.VecVirtual { return m.clamp(x, m.constant(0), m.constant(1)) }

// exp writes x as n*ln2 + r with a whole n, and exp(r) as 1 + r + r*r*p(r). The
// coefficients of p are those with the smallest relative error (3e-9) where
// |r| <= ln2/2, found by Remez's exchange.
func (m *machine) exp(x reg.VecVirtual) reg.VecVirtual {
	// Beyond these ends the result is infinite, or rounds to 0.
	x = m.clamp(x, m.constant(-104), m.constant(89))
	n := m.mul(x, m.constant(math.Log2E))
	m.round(n)
	const ln2 = float32(math.Ln2)
	r := m.vector()
	VMOVAPS(x, r)
	VFNMADD231PS(m.constant(float64(ln2)), n, r)
	VFNMADD231PS(m.constant(math.Ln2-float64(ln2)), n, r)
	p := m.polynomial(r, 0.50000000957, 0.166665183062, 0.0416662041262, 0.00836895350134, 0.00139506030857)
	p = m.horner(p, m.mul(r, r), r)
	return m.power(m.add(p, m.constant(1)), n)
}

// polynomial evaluates one with the given coefficients, the constant first.
func (m *machine) polynomial(x Op, coefficients ...float64) reg.VecVirtual {
	last := len(coefficients) - 1
	p := m.constant(coefficients[last])
	for i := last - 1; i >= 0; i-- {
		m.horner(p, x, m.constant(coefficients[i]))
	}
	return p
}

// round sets v to the nearest whole numbers.
func (m *machine) round(v reg.VecVirtual) {
	if m.is512() {
		VRNDSCALEPS(Imm(0), v, v)
	} else {
		VROUNDPS(Imm(0), v, v)
	}
}

// power returns a * 2^n.
func (m *machine) power(a, n Op) reg.VecVirtual {
	if m.is512() {
		return m.op3(VSCALEFPS, a, n)
	}
	// In two steps, because 2^n may not be a number where a*2^n is.
	whole, half := YMM(), YMM()
	VCVTPS2DQ(n, whole)
	VPSRAD(Imm(1), whole, half)
	VPSUBD(half, whole, whole)
	for _, e := range []reg.VecVirtual{half, whole} {
		VPSLLD(Imm(23), e, e)
		VPADDD(m.constant(1), e, e)
		a = m.mul(a, e)
	}
	return a.(reg.VecVirtual)
}

func (m *machine) sigmoid(x reg.VecVirtual) reg.VecVirtual {
	one := m.constant(1)
	return m.div(one, m.add(one, m.exp(m.sub(m.constant(0), x))))
}

// tanh is 1 - 2/(exp(2|x|)+1) with the sign of x, or, where that is small and
// would cancel, x + x*x*x*q(x*x), with q found as in exp (error 4e-9).
func (m *machine) tanh(x reg.VecVirtual) reg.VecVirtual {
	square := m.mul(x, x)
	q := m.polynomial(square, -0.333332837097, 0.133314849763, -0.0537429369812, 0.0206486548813, -0.00571478161498)
	near := m.horner(m.mul(square, q), x, x)

	size := m.and(x, m.bits(1<<31-1))
	e := m.exp(m.add(size, size))
	far := m.sub(m.constant(1), m.div(m.constant(2), m.add(e, m.constant(1))))
	far = m.or(far, m.and(x, m.bits(1<<31)))
	return m.pick(m.compare(less, size, m.constant(0.625)), near, far)
}
