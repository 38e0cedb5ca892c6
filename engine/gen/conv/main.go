// This program writes the kernels of engine/conv: register tiles of
// convolution and of its gradient, for AVX2 and AVX-512.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A shape is that of a register tile: rows x (vectors of lanes) sums.
type shape struct {
	name                 string
	rows, vectors, lanes int
	registers            []VecPhysical
	ahead                bool // whether weights are fetched ahead: where there are loads to spare
}

// ahead is how many bytes ahead weights are fetched. Those of large layers come
// from beyond the second-level cache.
const ahead = 2048

var (
	zmm = []VecPhysical{
		Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
		Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
	}
	ymm = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}
)

func main() {
	ConstraintExpr("amd64")
	table()
	for _, s := range []shape{
		{"AVX512", 12, 2, 16, zmm, true},
		{"AVX512Narrow", 12, 1, 16, zmm, false},
		{"AVX2", 6, 2, 8, ymm, false},
	} {
		s.tile()
		s.gradient()
	}
	Generate()
}

func (s shape) sum(row, vector int) VecPhysical { return s.registers[row*s.vectors+vector] }

// free returns the i-th register that holds no sum.
func (s shape) free(i int) VecPhysical { return s.registers[s.rows*s.vectors+i] }

func (s shape) avx512() bool { return s.lanes == 16 }

func (s shape) width() int { return s.vectors * s.lanes }

func label(kind string, rows int) string { return fmt.Sprint(kind, rows) }

// all calls f for every sum.
func (s shape) all(f func(row, vector int)) {
	for r := range s.rows {
		for v := range s.vectors {
			f(r, v)
		}
	}
}

// perRow calls f for the sums of each row that the tile has, and jumps to the
// label done after the last one.
func (s shape) perRow(rows Op, done string, f func(row, vector int)) {
	s.all(func(row, vector int) {
		if vector == 0 {
			CMPQ(rows, Imm(uint64(row)))
			JLE(LabelRef(done))
		}
		f(row, vector)
	})
}

// dispatch jumps to the label of the tile's number of rows.
func (s shape) dispatch(rows Op, kind string) {
	for r := s.rows; r > 1; r-- {
		CMPQ(rows, U8(r))
		JE(LabelRef(label(kind, r)))
	}
}

// multiply adds the products of one value per row with the vectors in the
// first free registers. For a single vector, too, broadcasting on its own is
// faster than as an operand of the multiplication.
func (s shape) multiply(rows int, value func(row int) Mem) {
	x := s.free(s.vectors)
	for r := range rows {
		VBROADCASTSS(value(r), x)
		for v := range s.vectors {
			VFMADD231PS(s.free(v), x, s.sum(r, v))
		}
	}
}

func param(name string) Mem {
	c, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return c.Addr
}

// tile writes the kernel of tile.run. In its inner loop every row has a
// register with the address of its pixel, and one index serves all.
func (s shape) tile() {
	TEXT("tile"+s.name, NOSPLIT, "func(in *float32, at *int, rows int, segments *int, count int, weights, bias, add, out *float32, to *int, min, max float32, channels int)")
	Pragma("noescape")
	Doc("tile" + s.name + " computes a tile.")
	pixels := []GPPhysical{RAX, RBX, RCX, RDX, RSI, RDI, R8, R9, R10, R11, R12, R13}
	weights, index, end := R14, R15, RBP

	s.masks()
	s.startWithBias()
	Load(Param("in"), weights)
	Load(Param("at"), index)
	for r := range s.rows {
		CMPQ(param("rows"), Imm(uint64(r)))
		JLE(LabelRef("sum"))
		MOVQ(Mem{Base: index, Disp: 8 * r}, pixels[r])
		LEAQ(Mem{Base: weights, Index: pixels[r], Scale: 4}, pixels[r])
	}
	Label("sum")
	CMPQ(param("count"), Imm(0))
	JE(LabelRef("store"))
	s.dispatch(param("rows"), "rows")
	for r := 1; r <= s.rows; r++ {
		Label(label("rows", r))
		Load(Param("segments"), end)
		MOVQ(Mem{Base: end}, index)
		MOVQ(Mem{Base: end, Disp: 16}, weights)
		MOVQ(Mem{Base: end, Disp: 8}, end)
		ADDQ(index, end)
		IMUL3Q(Imm(uint64(4*s.width())), weights, weights)
		ADDQ(param("weights"), weights)
		ADDQ(Imm(24), param("segments"))
		Label(label("loop", r))
		for v := range s.vectors {
			VMOVUPS(Mem{Base: weights, Disp: 4 * s.lanes * v}, s.free(v))
		}
		if s.ahead {
			for d := 0; d < 4*s.width(); d += 64 {
				PREFETCHT0(Mem{Base: weights, Disp: ahead + d})
			}
		}
		s.multiply(r, func(row int) Mem { return Mem{Base: pixels[row], Index: index, Scale: 4} })
		ADDQ(Imm(uint64(4*s.width())), weights)
		INCQ(index)
		CMPQ(index, end)
		JLT(LabelRef(label("loop", r)))
		DECQ(param("count"))
		JNZ(LabelRef(label("rows", r)))
		JMP(LabelRef("store"))
	}
	Label("store")
	s.addAndStore()
	VZEROUPPER()
	RET()
}

// startWithBias sets every sum to the bias, or to zero.
func (s shape) startWithBias() {
	for v := range s.vectors {
		VXORPS(s.sum(0, v), s.sum(0, v), s.sum(0, v))
	}
	Load(Param("bias"), RAX)
	TESTQ(RAX, RAX)
	JZ(LabelRef("start"))
	for v := range s.vectors {
		s.load(Mem{Base: RAX, Disp: 4 * s.lanes * v}, v, s.sum(0, v))
	}
	Label("start")
	for r := 1; r < s.rows; r++ {
		for v := range s.vectors {
			VMOVAPS(s.sum(0, v), s.sum(r, v))
		}
	}
}

// addAndStore ends a tile: add, clamp, store. The sum is the last operand of
// the comparisons (Go's first), the one that they return if it is NaN.
func (s shape) addAndStore() {
	rows, to, out := RAX, RBX, RCX
	Load(Param("rows"), rows)
	Load(Param("to"), to)
	Load(Param("add"), out)
	TESTQ(out, out)
	JZ(LabelRef("clamp"))
	at := func(row, vector int) Mem {
		if vector == 0 {
			MOVQ(Mem{Base: to, Disp: 8 * row}, RDX)
		}
		return Mem{Base: out, Index: RDX, Scale: 4, Disp: 4 * s.lanes * vector}
	}
	s.perRow(rows, "clamp", func(row, v int) {
		s.load(at(row, v), v, s.free(0))
		VADDPS(s.free(0), s.sum(row, v), s.sum(row, v))
	})
	Label("clamp")
	VBROADCASTSS(param("min"), s.free(0))
	VBROADCASTSS(param("max"), s.free(1))
	s.all(func(row, v int) {
		VMAXPS(s.sum(row, v), s.free(0), s.sum(row, v))
		VMINPS(s.sum(row, v), s.free(1), s.sum(row, v))
	})
	Load(Param("out"), out)
	if !s.avx512() { // masked stores of AVX2 are very slow on some processors
		CMPQ(param("channels"), Imm(uint64(s.width())))
		JNE(LabelRef("part"))
		s.perRow(rows, "done", func(row, v int) { VMOVUPS(s.sum(row, v), at(row, v)) })
		JMP(LabelRef("done"))
		Label("part")
	}
	s.perRow(rows, "done", func(row, v int) { s.store(s.sum(row, v), v, at(row, v)) })
	Label("done")
}

// gradient writes the kernel of gradientTile.run. Its inner loop steps through
// the pixels of a run; the values of the rows lie side by side in the input.
func (s shape) gradient() {
	TEXT("gradient"+s.name, NOSPLIT, "func(in, dout *float32, runs *int, count, inStep, doutStep int, sum *float32, rows int, fresh bool)")
	Pragma("noescape")
	Doc("gradient" + s.name + " computes a gradient tile.")
	in, dout, runs, count := RAX, RBX, RCX, RDX
	x, pixels, inStep, doutStep := RSI, RDI, R8, R9

	s.all(func(row, v int) { VXORPS(s.sum(row, v), s.sum(row, v), s.sum(row, v)) })
	Load(Param("in"), in)
	Load(Param("dout"), dout)
	Load(Param("runs"), runs)
	Load(Param("count"), count)
	Load(Param("inStep"), inStep)
	Load(Param("doutStep"), doutStep)
	SHLQ(Imm(2), inStep)
	SHLQ(Imm(2), doutStep)
	s.dispatch(param("rows"), "rows")
	for r := 1; r <= s.rows; r++ {
		Label(label("rows", r))
		MOVQ(Mem{Base: runs}, x)
		LEAQ(Mem{Base: in, Index: x, Scale: 4}, x)
		MOVQ(Mem{Base: runs, Disp: 8}, pixels)
		ADDQ(Imm(16), runs)
		Label(label("loop", r))
		for v := range s.vectors {
			VMOVUPS(Mem{Base: dout, Disp: 4 * s.lanes * v}, s.free(v))
		}
		s.multiply(r, func(row int) Mem { return Mem{Base: x, Disp: 4 * row} })
		ADDQ(inStep, x)
		ADDQ(doutStep, dout)
		DECQ(pixels)
		JNZ(LabelRef(label("loop", r)))
		DECQ(count)
		JNZ(LabelRef(label("rows", r)))
		JMP(LabelRef("add"))
	}
	Label("add")
	rows, sum := RAX, RBX
	Load(Param("rows"), rows)
	Load(Param("sum"), sum)
	at := func(row, v int) Mem { return Mem{Base: sum, Disp: 4 * (row*s.width() + s.lanes*v)} }
	CMPB(param("fresh"), Imm(0))
	JNE(LabelRef("store"))
	s.perRow(rows, "store", func(row, v int) { VADDPS(at(row, v), s.sum(row, v), s.sum(row, v)) })
	Label("store")
	s.perRow(rows, "done", func(row, v int) { VMOVUPS(s.sum(row, v), at(row, v)) })
	Label("done")
	VZEROUPPER()
	RET()
}

// mask is where AVX2's masks are found: as many ones as there are channels,
// then zeros. No pixel of a tile is in this register, at six rows.
var mask = R13

// masks prepares load and store to touch nothing past the last channel.
func (s shape) masks() {
	if !s.avx512() {
		LEAQ(tails, mask)
		Load(Param("channels"), R12)
		SHLQ(Imm(2), R12)
		SUBQ(R12, mask)
		return
	}
	Load(Param("channels"), RCX)
	MOVQ(U64(1), RAX)
	SHLQ(CL, RAX)
	DECQ(RAX)
	KMOVW(EAX, K1)
	SHRQ(Imm(16), RAX)
	KMOVW(EAX, K2)
}

func (s shape) opmask(v int) Op { return []Op{K1, K2}[v] }

func (s shape) load(m Mem, v int, to VecPhysical) {
	if s.avx512() {
		VMOVUPS_Z(m, s.opmask(v), to)
		return
	}
	last := s.free(3)
	VMOVUPS(Mem{Base: mask, Disp: 4 * s.lanes * v}, last)
	VMASKMOVPS(m, last, to)
}

func (s shape) store(from VecPhysical, v int, m Mem) {
	if s.avx512() {
		VMOVUPS(from, s.opmask(v), m)
		return
	}
	last := s.free(3)
	VMOVUPS(Mem{Base: mask, Disp: 4 * s.lanes * v}, last)
	VMASKMOVPS(from, last, m)
}

// tails is past the ones of a table of 16 ones and 16 zeros.
var tails Mem

func table() {
	tails = GLOBL("tails", RODATA|NOPTR).Offset(64)
	for i := range 32 {
		DATA(4*i, U32(0xffffffff*uint32((31-i)/16)))
	}
}
