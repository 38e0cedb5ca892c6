package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// finite emits a scan that returns how many leading elements are surely
// finite. It stops short of the first that is not by less than a block, and of
// the end by less than a vector.
func (m *machine) finite() {
	TEXT("finite"+m.suffix, attr.NOSPLIT, "func(a []float32) int")
	Pragma("noescape")
	a := column{base: Load(Param("a").Base(), GP64())}
	n := Load(Param("a").Len(), GP64())
	exponent := m.bits(0xff << 23)
	i, after := GP64(), GP64()
	XORQ(i, i)
	for _, stage := range []struct {
		name    string
		vectors int
	}{{"blocks", 4}, {"vectors", 1}} {
		LEAQ(Mem{Base: i, Disp: stage.vectors * m.lanes}, after)
		CMPQ(after, n)
		JGT(LabelRef(stage.name + "Done"))
		Label(stage.name)
		m.jumpIfNotFinite(a, i, stage.vectors, exponent)
		MOVQ(after, i)
		ADDQ(Imm(uint64(stage.vectors*m.lanes)), after)
		CMPQ(after, n)
		JLE(LabelRef(stage.name))
		Label(stage.name + "Done")
	}
	Label("found")
	Store(i, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// dot4 emits the products of a with each of four, in float32. A fold makes but
// one number; here a is loaded once for all four.
func (m *machine) dot4() {
	const chains = 2
	TEXT("dot4"+m.suffix, attr.NOSPLIT, "func(a, b, c, d, e []float32) (ab, ac, ad, ae float32)")
	Pragma("noescape")
	n := Load(Param("a").Len(), GP64())
	var of [5]column
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		of[i] = column{base: Load(Param(name).Base(), GP64())}
	}
	var sums [4][chains]reg.VecVirtual
	for i := range sums {
		for u := range sums[i] {
			sums[i][u] = m.vector()
			VXORPS(sums[i][u], sums[i][u], sums[i][u])
		}
	}
	m.walk(n, m.lanes, chains, false, func(i Op, u int, tail bool) {
		a := m.load(of[0].at(i, u*m.lanes), false, false, tail)
		for k := range sums {
			m.accumulate(sums[k][u], a, m.load(of[k+1].at(i, u*m.lanes), false, false, tail))
		}
	})
	f := fold{result: "float32", join: func(_ *machine, a, b reg.VecVirtual) reg.VecVirtual {
		VADDPS(b, a, a)
		return a
	}}
	for k, s := range sums {
		Store(f.across(m, f.join(m, s[0], s[1])), ReturnIndex(k))
	}
	VZEROUPPER()
	RET()
}

func (m *machine) jumpIfNotFinite(a column, i Op, vectors int, exponent Op) {
	var any reg.Register
	for u := range vectors {
		x := m.load(a.at(i, u*m.lanes), false, false, false)
		var bad reg.Register
		if m.is512() {
			bad = K()
			VFPCLASSPSZ(U8(0x99), x, bad) // NaN of either kind, either infinity
		} else {
			masked := m.and(x, exponent)
			VPCMPEQD(exponent, masked, masked)
			bad = masked
		}
		switch {
		case any == nil:
			any = bad
		case m.is512():
			KORW(bad, any, any)
		default:
			VORPS(bad, any, any)
		}
	}
	if m.is512() {
		KORTESTW(any, any)
	} else {
		VPTEST(any, any)
	}
	JNZ(LabelRef("found"))
}

// transpose8 emits the transposition of blocks of 8 by 8 that lie one after
// another in 8 rows; from and to are the distances of rows in src and dst. It
// serves AVX-512 too, where shuffles of longer vectors gain nothing.
func transpose8() {
	TEXT("transpose8", attr.NOSPLIT, "func(dst, src *float32, blocks, to, from int)")
	Pragma("noescape")
	dst, src, blocks := load("dst"), load("src"), load("blocks")
	to, from := load("to"), load("from")
	SHLQ(Imm(2), to)
	SHLQ(Imm(2), from)
	Label("block")
	in, out := eightRows(src, from), eightRows(dst, to)
	for half := range 2 {
		// Each of x has 4 elements of a row, and of the row 4 below it.
		var x [4]reg.VecVirtual
		for i := range x {
			x[i] = YMM()
			VMOVUPS(in[i].Offset(16*half), x[i].AsX())
			VINSERTF128(Imm(1), in[i+4].Offset(16*half), x[i], x[i])
		}
		a, b, c, d := YMM(), YMM(), YMM(), YMM()
		VUNPCKLPS(x[1], x[0], a)
		VUNPCKHPS(x[1], x[0], b)
		VUNPCKLPS(x[3], x[2], c)
		VUNPCKHPS(x[3], x[2], d)
		for i, pair := range [][2]reg.VecVirtual{{a, c}, {b, d}} {
			low, high := YMM(), YMM()
			VUNPCKLPD(pair[1], pair[0], low)
			VUNPCKHPD(pair[1], pair[0], high)
			VMOVUPS(low, out[4*half+2*i])
			VMOVUPS(high, out[4*half+2*i+1])
		}
	}
	ADDQ(Imm(32), src)
	LEAQ(Mem{Base: dst, Index: to, Scale: 8}, dst)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

func load(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// eightRows returns the addresses of 8 rows that are step bytes apart.
func eightRows(base, step reg.GPVirtual) []Mem {
	step3, base4 := GP64(), GP64()
	LEAQ(Mem{Base: step, Index: step, Scale: 2}, step3)
	LEAQ(Mem{Base: base, Index: step, Scale: 4}, base4)
	var rows []Mem
	for _, b := range []reg.Register{base, base4} {
		rows = append(rows, Mem{Base: b}, Mem{Base: b, Index: step, Scale: 1},
			Mem{Base: b, Index: step, Scale: 2}, Mem{Base: b, Index: step3, Scale: 1})
	}
	return rows
}
