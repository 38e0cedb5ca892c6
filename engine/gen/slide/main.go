// Slide writes the assembly of package engine/internal/slide: the kernels of
// its Tile for AVX2 and AVX-512.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// maxCols is slide.TileCols.
const maxCols = 4

// placeSize is the size of the struct Place, in bytes.
const placeSize = 24

// ops are what there are kernels for, and how many rows these have at most.
var ops = []struct {
	name string
	rows int
}{{"sum", 3}, {"max", 3}, {"argMax", 1}, {"route", 1}}

// fields are where the fields of the struct Tile begin, in bytes.
var fields = map[string]int{
	"Out": 0, "In": 24, "W": 48, "Bias": 72, "Add": 96,
	"OutAt": 120, "OutRow": 128, "OutCol": 136,
	"InAt": 144, "InRow": 152, "InCol": 160, "WAt": 168,
	"Places": 176, "Places.len": 184,
	"Taps": 200, "InTap": 208, "WTap": 216, "Channels": 224,
	"Low": 232, "High": 236, "First": 240, "Tap": 244, "Step": 248,
}

func main() {
	ConstraintExpr("amd64")
	for _, vector := range []int{64, 32} {
		for _, op := range ops {
			kernel(op.name, op.rows, vector)
		}
	}
	Generate()
}

// kernel writes one function with a body for each size of tile. Vectors have so
// many bytes.
func kernel(op string, maxRows, vector int) {
	name := op + map[int]string{64: "AVX512", 32: "AVX2"}[vector]
	TEXT(name, NOSPLIT, "func(t *byte, size int)")
	Pragma("noescape")
	Doc(name + " computes the Tile t of rows x cols, where size is (rows-1)*4 + cols-1.")
	g := &generator{vector: vector, op: op}
	g.t = Load(Param("t"), GP64())
	size := Load(Param("size"), GP64())
	for i := range maxRows * maxCols {
		CMPQ(size, Imm(uint64(i)))
		JEQ(LabelRef(fmt.Sprintf("%s_%d", name, i)))
	}
	RET()
	for i := range maxRows * maxCols {
		g.rows, g.cols = i/maxCols+1, i%maxCols+1
		g.prefix = fmt.Sprintf("%s_%d", name, i)
		Label(g.prefix)
		g.body()
	}
}

// The predicates of VCMPPS.
const (
	equal     = 0
	unordered = 3
	ordered   = 7
	greater   = 30
)

// A generator writes the bodies of one function.
type generator struct {
	prefix     string
	vector     int
	op         string
	rows, cols int
	t          Register

	channel             GPVirtual // how many bytes of channels are done
	row, col, col3      GPVirtual // steps in the image, in bytes
	inFirst, wFirst     GPVirtual // where places count from, in these channels
	inTap, wTap         GPVirtual
	places, count, taps GPVirtual
	in, w, scratch      GPVirtual

	mask       Register       // of the channels that count; nil where all of a vector do
	sums       [][]VecVirtual // the results
	best       []VecVirtual   // of argMax: the maxima
	weight, at VecVirtual
	tap, step  VecVirtual // number of the current tap, and its increment
}

func (g *generator) field(name string) Mem { return Mem{Base: g.t, Disp: fields[name]} }

// bytes loads a step that counts float32.
func (g *generator) bytes(name string) GPVirtual {
	r := GP64()
	MOVQ(g.field(name), r)
	SHLQ(Imm(2), r)
	return r
}

// pointer points at an element of a slice.
func (g *generator) pointer(slice, at string) GPVirtual {
	r := g.bytes(at)
	ADDQ(g.field(slice), r)
	return r
}

func (g *generator) label(name string) string { return g.prefix + "_" + name }

func (g *generator) vec() VecVirtual {
	if g.vector == 64 {
		return ZMM()
	}
	return YMM()
}

// body writes a loop over vectors of channels. With AVX-512, all are masked; the
// last vector of AVX2 has code of its own.
func (g *generator) body() {
	g.row, g.col = g.bytes("InRow"), g.bytes("InCol")
	if g.cols == maxCols {
		g.col3 = GP64()
		LEAQ(Mem{Base: g.col, Index: g.col, Scale: 2}, g.col3)
	}
	g.inTap = g.bytes("InTap")
	if g.op == "sum" {
		g.wTap = g.bytes("WTap")
	}
	g.inFirst = g.pointer("In", "InAt")
	switch g.op {
	case "sum":
		g.wFirst = g.pointer("W", "WAt")
	case "route":
		g.wFirst = g.pointer("W", "InAt")
	}
	g.channel = GP64()
	XORQ(g.channel, g.channel)
	if g.vector == 64 {
		g.mask = K()
		KXNORW(g.mask, g.mask, g.mask)
	}

	Label(g.label("block"))
	left := g.bytes("Channels")
	SUBQ(g.channel, left)
	JLE(LabelRef(g.label("done")))
	if g.vector == 64 {
		CMPQ(left, Imm(64))
		JGE(LabelRef(g.label("whole")))
		maskAVX512(g.mask, left)
		Label(g.label("whole"))
		g.block("")
	} else {
		CMPQ(left, Imm(32))
		JLT(LabelRef(g.label("last")))
		g.mask = nil
		g.block("")
	}
	ADDQ(Imm(uint64(g.vector)), g.channel)
	ADDQ(Imm(uint64(g.vector)), g.inFirst)
	if g.op == "sum" || g.op == "route" {
		ADDQ(Imm(uint64(g.vector)), g.wFirst)
	}
	JMP(LabelRef(g.label("block")))

	if g.vector == 32 {
		Label(g.label("last"))
		g.mask = maskAVX2(left)
		g.block("last")
	}
	Label(g.label("done"))
	VZEROUPPER()
	RET()
}

// maskAVX512 sets the mask of the first of 16 lanes, of fewer than 64 bytes.
func maskAVX512(mask Register, left GPVirtual) {
	ones := GP32()
	MOVL(I32(-1), ones)
	SHRQ(Imm(2), left)
	BZHIL(left.As32(), ones, ones)
	KMOVW(ones, mask)
}

// maskAVX2 returns the mask of the first of 8 lanes, of fewer than 32 bytes.
func maskAVX2(left GPVirtual) Register {
	table, m := GP64(), YMM()
	LEAQ(masks(), table)
	SUBQ(left, table)
	VMOVUPS(Mem{Base: table, Disp: 32}, m)
	return m
}

var maskTable *Mem

// masks is 8 words of ones before 8 of zeros.
func masks() Mem {
	if maskTable == nil {
		m := GLOBL("masks", RODATA|NOPTR)
		for i := range 16 {
			word := U32(0)
			if i < 8 {
				word = 0xffffffff
			}
			DATA(i*4, word)
		}
		maskTable = &m
	}
	return *maskTable
}

// block computes one vector of channels of all results.
func (g *generator) block(suffix string) {
	g.sums, g.best = make([][]VecVirtual, g.rows), nil
	for r := range g.sums {
		for range g.cols {
			g.sums[r] = append(g.sums[r], g.start())
		}
	}
	g.loop(suffix)
	if g.op == "sum" {
		g.bias(suffix)
		g.add(suffix)
		g.clamp(suffix)
	}
	at := g.result("Out")
	g.eachResult(at, func(v VecVirtual, m Mem) { g.store(v, m) })
}

// start returns a result of no taps.
func (g *generator) start() VecVirtual {
	v := g.vec()
	switch g.op {
	case "max":
		g.lowest(v)
	case "argMax":
		VBROADCASTSS(g.field("First"), v)
		best := g.vec()
		g.lowest(best)
		g.best = append(g.best, best)
	default:
		g.zero(v)
	}
	return v
}

func (g *generator) zero(v VecVirtual) {
	if g.vector == 64 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}

// lowest sets v to -Inf: nine ones, then zeros.
func (g *generator) lowest(v VecVirtual) {
	if g.vector == 64 {
		VPTERNLOGD(Imm(0xff), v, v, v)
	} else {
		VPCMPEQD(v, v, v)
	}
	VPSLLD(Imm(23), v, v)
}

// loop goes through the places and their taps.
func (g *generator) loop(suffix string) {
	g.places, g.count, g.taps = GP64(), GP64(), GP64()
	g.in, g.w, g.scratch = GP64(), GP64(), GP64()
	CMPQ(g.field("Taps"), Imm(0))
	JEQ(LabelRef(g.label("summed" + suffix)))
	MOVQ(g.field("Places.len"), g.count)
	TESTQ(g.count, g.count)
	JEQ(LabelRef(g.label("summed" + suffix)))
	MOVQ(g.field("Places"), g.places)

	Label(g.label("place" + suffix))
	g.locate(g.in, g.inFirst, 0)
	switch g.op {
	case "sum":
		g.locate(g.w, g.wFirst, 8)
	case "route":
		g.locate(g.w, g.wFirst, 0)
	}
	if g.numbered() {
		g.tap, g.step = g.vec(), g.vec()
		VBROADCASTSS(Mem{Base: g.places, Disp: 16}, g.tap)
		VBROADCASTSS(g.field("Tap"), g.step)
		VADDPS(g.step, g.tap, g.tap)
		VBROADCASTSS(g.field("Step"), g.step)
	}
	ADDQ(Imm(placeSize), g.places)
	MOVQ(g.field("Taps"), g.taps)

	Label(g.label("tap" + suffix))
	g.weight, g.at = g.vec(), g.vec()
	if g.op == "sum" {
		g.load(Mem{Base: g.w}, g.weight)
		ADDQ(g.wTap, g.w)
	}
	for r := range g.rows {
		base := g.in
		if r > 0 {
			base = g.scratch
			LEAQ(Mem{Base: g.in, Index: g.row, Scale: uint8(r)}, base)
		}
		for q := range g.cols {
			g.accumulate(base, r, q)
		}
	}
	if g.numbered() {
		VADDPS(g.step, g.tap, g.tap)
	}
	ADDQ(g.inTap, g.in)
	if g.op == "route" {
		ADDQ(g.inTap, g.w)
	}
	DECQ(g.taps)
	JNE(LabelRef(g.label("tap" + suffix)))
	DECQ(g.count)
	JNE(LabelRef(g.label("place" + suffix)))
	Label(g.label("summed" + suffix))
}

// numbered says whether taps are told apart.
func (g *generator) numbered() bool { return g.op == "argMax" || g.op == "route" }

// locate points r at the current place, of which a field counts from first.
func (g *generator) locate(r, first GPVirtual, field int) {
	MOVQ(Mem{Base: g.places, Disp: field}, r)
	LEAQ(Mem{Base: first, Index: r, Scale: 4}, r)
}

// column is the image's vector for the q-th result of a row.
func (g *generator) column(base GPVirtual, q int) Mem {
	switch q {
	case 0:
		return Mem{Base: base}
	case 3:
		return Mem{Base: base, Index: g.col3, Scale: 1}
	}
	return Mem{Base: base, Index: g.col, Scale: uint8(q)}
}

func (g *generator) load(m Mem, v VecVirtual) {
	switch {
	case g.mask == nil:
		VMOVUPS(m, v)
	case g.vector == 64:
		VMOVUPS_Z(m, g.mask, v)
	default:
		VMASKMOVPS(m, g.mask, v)
	}
}

func (g *generator) store(v VecVirtual, m Mem) {
	switch {
	case g.mask == nil:
		VMOVUPS(v, m)
	case g.vector == 64:
		VMOVUPS(v, g.mask, m)
	default:
		VMASKMOVPS(v, g.mask, m)
	}
}

// accumulate takes one tap into the q-th result of a row, which begins at base.
func (g *generator) accumulate(base GPVirtual, r, q int) {
	m, result := g.column(base, q), g.sums[r][q]
	switch g.op {
	case "sum":
		g.multiplyAdd(m, result)
	case "max":
		g.maximum(m, result)
	case "argMax":
		g.argMax(m, result, g.best[q])
	case "route":
		g.route(m, g.column(g.w, q), result)
	}
}

func (g *generator) multiplyAdd(m Mem, sum VecVirtual) {
	switch {
	case g.mask == nil:
		VFMADD231PS(m, g.weight, sum)
	case g.vector == 64:
		VFMADD231PS(m, g.weight, g.mask, sum)
	default:
		g.load(m, g.at)
		VFMADD231PS(g.at, g.weight, sum)
	}
}

// maximum keeps NaN: VMAXPS gives its second source, m, where that is NaN, and
// where the maximum already is, it is left alone.
func (g *generator) maximum(m Mem, sum VecVirtual) {
	if g.vector == 64 {
		k := K()
		VCMPPS(Imm(ordered), sum, sum, g.mask, k)
		VMAXPS(m, sum, k, sum)
		return
	}
	nan := g.vec()
	if g.mask == nil {
		VMAXPS(m, sum, g.at)
	} else {
		g.load(m, g.at)
		VMAXPS(g.at, sum, g.at)
	}
	VCMPPS(Imm(unordered), sum, sum, nan)
	VBLENDVPS(nan, sum, g.at, sum)
}

// argMax takes over what is greater than the best, or NaN.
func (g *generator) argMax(m Mem, where, best VecVirtual) {
	g.load(m, g.at)
	if g.vector == 64 {
		better, nan := K(), K()
		VCMPPS(Imm(greater), best, g.at, better)
		VCMPPS(Imm(unordered), g.at, g.at, nan)
		KORW(better, nan, better)
		VMOVAPS(g.at, better, best)
		VMOVAPS(g.tap, better, where)
		return
	}
	better, nan := g.vec(), g.vec()
	VCMPPS(Imm(greater), best, g.at, better)
	VCMPPS(Imm(unordered), g.at, g.at, nan)
	VORPS(better, nan, better)
	VBLENDVPS(better, g.at, best, best)
	VBLENDVPS(better, g.tap, where, where)
}

// route adds m where the number in w is that of the tap.
func (g *generator) route(m, w Mem, sum VecVirtual) {
	number := g.vec()
	g.load(w, number)
	g.load(m, g.at)
	if g.vector == 64 {
		k := K()
		VCMPPS(Imm(equal), g.tap, number, k)
		VADDPS(g.at, sum, k, sum)
		return
	}
	VCMPPS(Imm(equal), g.tap, number, number)
	VANDPS(number, g.at, g.at)
	VADDPS(g.at, sum, sum)
}

// bias adds the bias, if any.
func (g *generator) bias(suffix string) {
	at, v := GP64(), g.vec()
	MOVQ(g.field("Bias"), at)
	TESTQ(at, at)
	JEQ(LabelRef(g.label("biased" + suffix)))
	g.load(Mem{Base: at, Index: g.channel, Scale: 1}, v)
	for _, row := range g.sums {
		for _, sum := range row {
			VADDPS(v, sum, sum)
		}
	}
	Label(g.label("biased" + suffix))
}

// add adds what lies as the results do, if anything.
func (g *generator) add(suffix string) {
	CMPQ(g.field("Add"), Imm(0))
	JEQ(LabelRef(g.label("added" + suffix)))
	at, v := g.result("Add"), g.vec()
	g.eachResult(at, func(sum VecVirtual, m Mem) {
		g.load(m, v)
		VADDPS(v, sum, sum)
	})
	Label(g.label("added" + suffix))
}

// clamp limits the sums, if there is a limit. The operand that is NaN must be the second source.
func (g *generator) clamp(suffix string) {
	CMPL(g.field("Low"), U32(0xff800000))
	JNE(LabelRef(g.label("limited" + suffix)))
	CMPL(g.field("High"), U32(0x7f800000))
	JEQ(LabelRef(g.label("clamped" + suffix)))
	Label(g.label("limited" + suffix))
	low, high := g.vec(), g.vec()
	VBROADCASTSS(g.field("Low"), low)
	VBROADCASTSS(g.field("High"), high)
	for _, row := range g.sums {
		for _, sum := range row {
			VMAXPS(sum, low, sum)
			VMINPS(sum, high, sum)
		}
	}
	Label(g.label("clamped" + suffix))
}

// result points at the first result, or at what is added to it.
func (g *generator) result(base string) GPVirtual {
	at := g.pointer(base, "OutAt")
	ADDQ(g.channel, at)
	return at
}

// eachResult calls f with every sum and its memory, given where the first is.
func (g *generator) eachResult(first GPVirtual, f func(VecVirtual, Mem)) {
	row, col, at := g.bytes("OutRow"), g.bytes("OutCol"), GP64()
	for r := range g.sums {
		MOVQ(first, at)
		for q, sum := range g.sums[r] {
			if q > 0 {
				ADDQ(col, at)
			}
			f(sum, Mem{Base: at})
		}
		ADDQ(row, first)
	}
}
