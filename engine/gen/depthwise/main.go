// Depthwise writes the assembly of package engine/depthwise: the tile kernels
// for AVX2 and AVX-512.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	maxRows = 3
	maxCols = 4
)

// fields are where the fields of the struct tile begin, in bytes.
var fields = map[string]int{
	"out": 0, "in": 24, "w": 48, "bias": 72, "add": 96,
	"outAt": 120, "outRow": 128, "outCol": 136,
	"inAt": 144, "inRow": 152, "inCol": 160, "wAt": 168,
	"places": 176, "places.len": 184,
	"taps": 200, "inTap": 208, "wTap": 216, "channels": 224, "low": 232, "high": 236,
}

func main() {
	ConstraintExpr("amd64")
	kernel("tileAVX512", 64)
	kernel("tileAVX2", 32)
	Generate()
}

// kernel writes one function with a body for each size of tile. Vectors have so
// many bytes.
func kernel(name string, vector int) {
	TEXT(name, NOSPLIT, "func(t *byte, size int)")
	Pragma("noescape")
	Doc(name + " computes the tile of rows x cols where size is (rows-1)*4 + cols-1.")
	g := &generator{vector: vector}
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

// A generator writes the bodies of one function.
type generator struct {
	prefix     string
	vector     int
	rows, cols int
	t          Register

	channel             GPVirtual // how many bytes of channels are done
	row, col, col3      GPVirtual // steps in the image, in bytes
	inTap, wTap         GPVirtual
	places, count, taps GPVirtual
	in, w, scratch      GPVirtual

	mask       Register // of the last channels; nil where all of a vector count
	sums       [][]VecVirtual
	weight, at VecVirtual
}

func (g *generator) field(name string) Mem { return Mem{Base: g.t, Disp: fields[name]} }

// bytes loads a step that counts float32.
func (g *generator) bytes(name string) GPVirtual {
	r := GP64()
	MOVQ(g.field(name), r)
	SHLQ(Imm(2), r)
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
	g.row, g.col = g.bytes("inRow"), g.bytes("inCol")
	if g.cols == maxCols {
		g.col3 = GP64()
		LEAQ(Mem{Base: g.col, Index: g.col, Scale: 2}, g.col3)
	}
	g.inTap, g.wTap = g.bytes("inTap"), g.bytes("wTap")
	g.channel = GP64()
	XORQ(g.channel, g.channel)

	Label(g.label("block"))
	left := g.bytes("channels")
	SUBQ(g.channel, left)
	JLE(LabelRef(g.label("done")))
	if g.vector == 64 {
		g.mask = maskAVX512(left)
		g.block("")
	} else {
		CMPQ(left, Imm(32))
		JLT(LabelRef(g.label("last")))
		g.mask = nil
		g.block("")
	}
	ADDQ(Imm(uint64(g.vector)), g.channel)
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

// maskAVX512 returns the mask of the first of 16 lanes, up to so many bytes.
func maskAVX512(left GPVirtual) Register {
	most, ones, k := GP64(), GP32(), K()
	MOVQ(U32(64), most)
	CMPQ(left, most)
	CMOVQGT(most, left)
	SHRQ(Imm(2), left)
	MOVL(I32(-1), ones)
	BZHIL(left.As32(), ones, ones)
	KMOVW(ones, k)
	return k
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
	g.sums = make([][]VecVirtual, g.rows)
	for r := range g.sums {
		for range g.cols {
			v := g.vec()
			zero(v)
			g.sums[r] = append(g.sums[r], v)
		}
	}
	g.loop(suffix)
	g.bias(suffix)
	g.add(suffix)
	g.clamp()
	at := g.result("out")
	g.eachResult(at, func(v VecVirtual, m Mem) { g.store(v, m) })
}

func zero(v VecVirtual) {
	if v.Size() == 64 {
		VPXORD(v, v, v)
		return
	}
	VXORPS(v, v, v)
}

// loop adds up the places and their taps.
func (g *generator) loop(suffix string) {
	g.places, g.count, g.taps = GP64(), GP64(), GP64()
	g.in, g.w, g.scratch = GP64(), GP64(), GP64()
	CMPQ(g.field("taps"), Imm(0))
	JEQ(LabelRef(g.label("summed" + suffix)))
	MOVQ(g.field("places.len"), g.count)
	TESTQ(g.count, g.count)
	JEQ(LabelRef(g.label("summed" + suffix)))
	MOVQ(g.field("places"), g.places)

	Label(g.label("place" + suffix))
	g.locate(g.in, 0, "in", "inAt")
	g.locate(g.w, 8, "w", "wAt")
	ADDQ(Imm(16), g.places)
	MOVQ(g.field("taps"), g.taps)

	Label(g.label("tap" + suffix))
	g.weight, g.at = g.vec(), g.vec()
	g.load(Mem{Base: g.w}, g.weight)
	ADDQ(g.wTap, g.w)
	for r := range g.rows {
		base := g.in
		if r > 0 {
			base = g.scratch
			LEAQ(Mem{Base: g.in, Index: g.row, Scale: uint8(r)}, base)
		}
		for q := range g.cols {
			g.multiplyAdd(g.column(base, q), g.sums[r][q])
		}
	}
	ADDQ(g.inTap, g.in)
	DECQ(g.taps)
	JNE(LabelRef(g.label("tap" + suffix)))
	DECQ(g.count)
	JNE(LabelRef(g.label("place" + suffix)))
	Label(g.label("summed" + suffix))
}

// locate points r at the current place and channel.
func (g *generator) locate(r GPVirtual, offset int, base, at string) {
	MOVQ(Mem{Base: g.places, Disp: offset}, r)
	ADDQ(g.field(at), r)
	SHLQ(Imm(2), r)
	ADDQ(g.field(base), r)
	ADDQ(g.channel, r)
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

// bias adds the bias, if any.
func (g *generator) bias(suffix string) {
	at, v := GP64(), g.vec()
	MOVQ(g.field("bias"), at)
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
	CMPQ(g.field("add"), Imm(0))
	JEQ(LabelRef(g.label("added" + suffix)))
	at, v := g.result("add"), g.vec()
	g.eachResult(at, func(sum VecVirtual, m Mem) {
		g.load(m, v)
		VADDPS(v, sum, sum)
	})
	Label(g.label("added" + suffix))
}

// clamp limits the sums. The operand that is NaN must be the second source.
func (g *generator) clamp() {
	low, high := g.vec(), g.vec()
	VBROADCASTSS(g.field("low"), low)
	VBROADCASTSS(g.field("high"), high)
	for _, row := range g.sums {
		for _, sum := range row {
			VMAXPS(sum, low, sum)
			VMINPS(sum, high, sum)
		}
	}
}

// result points at the first result, or at what is added to it.
func (g *generator) result(base string) GPVirtual {
	at := g.bytes("outAt")
	ADDQ(g.field(base), at)
	ADDQ(g.channel, at)
	return at
}

// eachResult calls f with every sum and its memory, given where the first is.
func (g *generator) eachResult(first GPVirtual, f func(VecVirtual, Mem)) {
	row, col, at := g.bytes("outRow"), g.bytes("outCol"), GP64()
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
