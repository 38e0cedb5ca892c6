package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A machine emits the instructions of one level. Its methods return fresh
// registers unless they say otherwise.
type machine struct {
	suffix string // of names
	lanes  int    // float32 in a register
	vector func() reg.VecVirtual

	tail reg.Register // which lanes of a last vector exist: K on AVX-512, a vector of signs on AVX2
	wide reg.Register // the same for float64 on AVX2
}

func machines() []*machine {
	return []*machine{
		{suffix: "AVX2", lanes: 8, vector: YMM},
		{suffix: "AVX512", lanes: 16, vector: ZMM},
	}
}

func (m *machine) is512() bool { return m.lanes == 16 }

// half returns a register of half a vector: as many float32 as a vector holds
// float64.
func (m *machine) half() reg.VecVirtual {
	if m.is512() {
		return YMM()
	}
	return XMM()
}

// Predicates of comparisons. The negated ones hold where there is a NaN.
const (
	unordered    = 0x03
	less         = 0x11
	notLess      = 0x15
	notLessEqual = 0x16
	notMoreEqual = 0x19
	more         = 0x1e
)

func (m *machine) op3(f func(...Op), a, b Op) reg.VecVirtual {
	r := m.vector()
	f(b, a, r)
	return r
}

func (m *machine) add(a, b Op) reg.VecVirtual { return m.op3(VADDPS, a, b) }
func (m *machine) sub(a, b Op) reg.VecVirtual { return m.op3(VSUBPS, a, b) }
func (m *machine) mul(a, b Op) reg.VecVirtual { return m.op3(VMULPS, a, b) }
func (m *machine) div(a, b Op) reg.VecVirtual { return m.op3(VDIVPS, a, b) }
func (m *machine) and(a, b Op) reg.VecVirtual { return m.op3(VANDPS, a, b) }
func (m *machine) or(a, b Op) reg.VecVirtual  { return m.op3(VORPS, a, b) }

// max and min return b where either is NaN.
func (m *machine) max(a, b Op) reg.VecVirtual { return m.op3(VMAXPS, a, b) }
func (m *machine) min(a, b Op) reg.VecVirtual { return m.op3(VMINPS, a, b) }

// accumulate sets sum to sum + a*b and returns it.
func (m *machine) accumulate(sum reg.VecVirtual, a, b Op) reg.VecVirtual {
	VFMADD231PS(b, a, sum)
	return sum
}

// horner sets p to p*x + c and returns it.
func (m *machine) horner(p reg.VecVirtual, x, c Op) reg.VecVirtual {
	VFMADD213PS(c, x, p)
	return p
}

// clamp raises x to lo and then lowers it to hi; NaN stays.
func (m *machine) clamp(x, lo, hi Op) reg.VecVirtual { return m.min(hi, m.max(lo, x)) }

func (m *machine) compare(predicate uint8, a, b Op) reg.Register {
	var r reg.Register = K()
	if !m.is512() {
		r = YMM()
	}
	VCMPPS(U8(predicate), b, a, r)
	return r
}

// keep returns a where the mask holds and 0 elsewhere.
func (m *machine) keep(mask reg.Register, a Op) reg.VecVirtual {
	if !m.is512() {
		return m.and(mask, a)
	}
	r := ZMM()
	VMOVAPS_Z(a, mask, r)
	return r
}

// pick returns a where the mask holds and b elsewhere.
func (m *machine) pick(mask reg.Register, a, b Op) reg.VecVirtual {
	r := m.vector()
	if m.is512() {
		VMOVAPS(b, r)
		VMOVAPS(a, mask, r)
	} else {
		VBLENDVPS(mask, a, b, r)
	}
	return r
}

// nanMax is max, but NaN where either is.
func (m *machine) nanMax(a, b Op) reg.VecVirtual {
	return m.pick(m.compare(unordered, a, a), a, m.max(a, b))
}

// nanMin is min, but NaN where either is.
func (m *machine) nanMin(a, b Op) reg.VecVirtual {
	return m.pick(m.compare(unordered, a, a), a, m.min(a, b))
}

var known = map[uint32]Mem{}

// constant returns a number in every lane.
func (m *machine) constant(v float64) reg.VecVirtual { return m.bits(math.Float32bits(float32(v))) }

func (m *machine) bits(v uint32) reg.VecVirtual {
	at, ok := known[v]
	if !ok {
		at = ConstData(fmt.Sprintf("c%08x", v), U32(v))
		known[v] = at
	}
	return m.broadcast(at)
}

func (m *machine) broadcast(at Op) reg.VecVirtual {
	r := m.vector()
	VBROADCASTSS(at, r)
	return r
}

// widen returns half a vector of float32 as a vector of float64.
func (m *machine) widen(a Op) reg.VecVirtual {
	r := m.vector()
	VCVTPS2PD(a, r)
	return r
}

// limit sets tail to as many lanes as rest counts, which is less than a vector.
func (m *machine) limit(rest reg.GPVirtual, half bool) {
	if m.is512() {
		bits := GP32()
		MOVQ(rest, reg.RCX)
		MOVL(U32(1), bits)
		SHLL(reg.CL, bits)
		DECL(bits)
		k := K()
		KMOVW(bits, k)
		m.tail = k
		return
	}
	table := signs()
	address, back := GP64(), GP64()
	LEAQ(table, address)
	MOVQ(rest, back)
	NEGQ(back)
	at := Mem{Base: address, Index: back, Scale: 4, Disp: 32}
	if !half {
		mask := YMM()
		VMOVUPS(at, mask)
		m.tail = mask
		return
	}
	mask, wide := XMM(), YMM()
	VMOVUPS(at, mask)
	VPMOVSXDQ(mask, wide)
	m.tail, m.wide = mask, wide
}

var table *Mem

// signs is eight times -1, then eight times 0.
func signs() Mem {
	if table == nil {
		at := GLOBL("signs", attr.RODATA|attr.NOPTR)
		for i := range 16 {
			v := uint32(0)
			if i < 8 {
				v = math.MaxUint32
			}
			DATA(4*i, U32(v))
		}
		table = &at
	}
	return *table
}

// A column is a slice that a kernel walks along.
type column struct {
	base   reg.Register
	double bool // float64
}

func (c column) at(index Op, offset int) Mem {
	size := 4
	if c.double {
		size = 8
	}
	return Mem{Base: c.base, Index: index.(reg.Register), Scale: uint8(size), Disp: size * offset}
}

// load reads a vector, or where half half a vector of float32 to match one of
// float64. In the tail, lanes that do not exist are 0.
func (m *machine) load(from Mem, double, half, tail bool) reg.VecVirtual {
	r := m.vector()
	if half && !double {
		r = m.half()
	}
	switch {
	case !tail:
		VMOVUPS(from, r)
	case m.is512() && double:
		VMOVUPD_Z(from, m.tail, r)
	case m.is512():
		VMOVUPS_Z(from, m.tail, r)
	case double:
		VMASKMOVPD(from, m.wide, r)
	default:
		VMASKMOVPS(from, m.tail, r)
	}
	return r
}

func (m *machine) store(v reg.VecVirtual, to Mem, double, tail bool) {
	switch {
	case !tail:
		VMOVUPS(v, to)
	case m.is512() && double:
		VMOVUPD(v, m.tail, to)
	case m.is512():
		VMOVUPS(v, m.tail, to)
	case double:
		VMASKMOVPD(v, m.wide, to)
	default:
		VMASKMOVPS(v, m.tail, to)
	}
}
