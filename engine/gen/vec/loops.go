package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type vectors = []reg.VecVirtual

// A loop is a kernel that does the same to each element of some slices.
type loop struct {
	name    string
	written string // slices that are written
	read    string // slices that are read, some of which may be written too; a name with * is of float64
	scalars string
	unroll  int
	// body takes what is read, and the scalars in every lane, and returns what
	// is written, both in the order of the names.
	body func(m *machine, in, s vectors) vectors
}

type slice struct {
	column
	name          string
	reads, writes bool
}

// slices lists each slice once, as it stands in the signature.
func (l loop) slices() []*slice {
	var all []*slice
	add := func(names string) {
		for _, name := range strings.Fields(names) {
			plain := strings.TrimSuffix(name, "*")
			s := &slice{name: plain}
			s.double = plain != name
			for _, old := range all {
				if old.name == plain {
					s = old
				}
			}
			if s.base == nil && !s.reads && !s.writes {
				all = append(all, s)
			}
			if names == l.written {
				s.writes = true
			} else {
				s.reads = true
			}
		}
	}
	add(l.written)
	add(l.read)
	return all
}

func signature(slices []*slice, scalars, result string) string {
	var s []string
	for _, x := range slices {
		kind := "float32"
		if x.double {
			kind = "float64"
		}
		s = append(s, x.name+" []"+kind)
	}
	for _, name := range strings.Fields(scalars) {
		s = append(s, name+" float32")
	}
	return fmt.Sprintf("func(%s)%s", strings.Join(s, ", "), result)
}

// walk emits a loop over n elements: step for unroll vectors at a time, for
// single ones and for the tail. Step is told where, which vector of the block,
// and whether it is the tail.
func (m *machine) walk(n reg.Register, lanes, unroll int, half bool, step func(i Op, vector int, tail bool)) {
	i, after := GP64(), GP64()
	XORQ(i, i)
	for _, stage := range []struct {
		name    string
		vectors int
	}{{"blocks", unroll}, {"vectors", 1}} {
		if stage.name == "vectors" && unroll == 1 {
			break
		}
		LEAQ(Mem{Base: i, Disp: stage.vectors * lanes}, after)
		CMPQ(after, n)
		JGT(LabelRef(stage.name + "Done"))
		Label(stage.name)
		for u := range stage.vectors {
			step(i, u, false)
		}
		MOVQ(after, i)
		ADDQ(Imm(uint64(stage.vectors*lanes)), after)
		CMPQ(after, n)
		JLE(LabelRef(stage.name))
		Label(stage.name + "Done")
	}
	rest := GP64()
	MOVQ(n, rest)
	SUBQ(i, rest)
	JZ(LabelRef("done"))
	m.limit(rest, half)
	step(i, 0, true)
	Label("done")
}

// emit writes the kernel; what before emits goes before the loop, and what that
// returns after it.
func (l loop) emit(m *machine, before func() (after func())) {
	slices := l.slices()
	TEXT(l.name+m.suffix, attr.NOSPLIT, signature(slices, l.scalars, ""))
	Pragma("noescape")
	half := false
	for _, s := range slices {
		s.base = Load(Param(s.name).Base(), GP64())
		half = half || s.double
	}
	n := Load(Param(slices[len(slices)-1].name).Len(), GP64())
	var scalars vectors
	for _, name := range strings.Fields(l.scalars) {
		at, err := Param(name).Resolve()
		if err != nil {
			panic(err)
		}
		scalars = append(scalars, m.broadcast(at.Addr))
	}
	lanes := m.lanes
	if half {
		lanes /= 2
	}
	after := func() {}
	if before != nil {
		after = before()
	}
	m.walk(n, lanes, max(1, l.unroll), half, func(i Op, u int, tail bool) {
		byName := map[string]*slice{}
		for _, s := range slices {
			byName[s.name] = s
		}
		var in vectors
		for _, name := range strings.Fields(l.read) {
			s := byName[strings.TrimSuffix(name, "*")]
			in = append(in, m.load(s.at(i, u*lanes), s.double, half, tail))
		}
		out := l.body(m, in, scalars)
		for k, name := range strings.Fields(l.written) {
			s := byName[strings.TrimSuffix(name, "*")]
			m.store(out[k], s.at(i, u*lanes), s.double, tail)
		}
	})
	after()
	VZEROUPPER()
	RET()
}

// flushTiny sets the processor's flags (of MXCSR) that make numbers too small for
// full precision 0, read or written; restore sets what was.
func flushTiny() (restore func()) {
	const readAsZero, writtenAsZero = 1 << 6, 1 << 15
	before, now, flags := AllocLocal(8), AllocLocal(8), GP32()
	VSTMXCSR(before)
	MOVL(before, flags)
	ORL(U32(readAsZero|writtenAsZero), flags)
	MOVL(flags, now)
	VLDMXCSR(now)
	return func() { VLDMXCSR(before) }
}

// A fold is a kernel that makes one number of some slices.
type fold struct {
	name   string
	read   string
	result string  // float64: what is read is widened
	start  float64 // of every lane, and what stands for elements that do not exist
	step   func(m *machine, sum reg.VecVirtual, in vectors) reg.VecVirtual
	join   func(m *machine, a, b reg.VecVirtual) reg.VecVirtual // may overwrite both
}

func (f fold) emit(m *machine) {
	const chains = 4
	slices := loop{read: f.read}.slices()
	TEXT(f.name+m.suffix, attr.NOSPLIT, signature(slices, "", " "+f.result))
	Pragma("noescape")
	for _, s := range slices {
		s.base = Load(Param(s.name).Base(), GP64())
	}
	n := Load(Param(slices[0].name).Len(), GP64())
	half := f.result == "float64"
	lanes := m.lanes
	if half {
		lanes /= 2
	}
	start := m.constant(f.start)
	sums := make(vectors, chains)
	for i := range sums {
		sums[i] = m.vector()
		VMOVAPS(start, sums[i])
	}
	m.walk(n, lanes, chains, half, func(i Op, u int, tail bool) {
		var in vectors
		for _, s := range slices {
			v := m.load(s.at(i, u*lanes), false, half, tail)
			switch {
			case half:
				v = m.widen(v)
			case tail:
				v = m.pick(m.tail, v, start)
			}
			in = append(in, v)
		}
		if r := f.step(m, sums[u], in); r != sums[u] {
			VMOVAPS(r, sums[u])
		}
	})
	all := f.join(m, f.join(m, sums[0], sums[1]), f.join(m, sums[2], sums[3]))
	Store(f.across(m, all), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// across joins the lanes of a vector.
func (f fold) across(m *machine, v reg.VecVirtual) reg.Register {
	if m.is512() {
		high := YMM()
		VEXTRACTF64X4(Imm(1), v, high)
		v = f.join(m, v.AsY().(reg.VecVirtual), high)
	}
	high := XMM()
	VEXTRACTF128(Imm(1), v.AsY(), high)
	v = f.join(m, v.AsX().(reg.VecVirtual), high)
	next := XMM()
	VPERMILPD(Imm(1), v, next)
	v = f.join(m, v, next)
	if f.result == "float32" {
		last := XMM()
		VMOVSHDUP(v, last)
		v = f.join(m, v, last)
	}
	return v
}
