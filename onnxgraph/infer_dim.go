package onnxgraph

import (
	"math/bits"
	"strconv"
	"strings"
)

// Dimensions are added, multiplied and divided in a canonical spelling, so that
// two paths through a graph with the same arithmetic end in Equal dimensions:
//
//	coefficient*symbol + N        2*batch
//	floor((symbol+r)/k) + N       0 <= r < k; nested floors become one
//
// What has no spelling, overflows or grows beyond symbolLimit is Unknown.

// symbolLimit bounds the symbols that arithmetic makes: a long chain of
// operations must not build ever longer ones.
const symbolLimit = 128

// plus returns d+o.
func (d Dim) plus(o Dim) Dim {
	switch {
	case d.Sym == "?" || o.Sym == "?":
		return Unknown
	case d.Known() && !o.Known():
		return o.plus(d)
	}
	n, ok := addInt(d.N, o.N)
	if !ok {
		return Unknown
	}
	if o.Known() {
		return Dim{d.Sym, n}
	}
	dc, db := linear(d.Sym)
	oc, ob := linear(o.Sym)
	if db == ob {
		c, ok := addInt(dc, oc)
		return spell(c, db, n, ok)
	}
	first, second := min(d.Sym, o.Sym), max(d.Sym, o.Sym)
	return spell(1, join("(", first, "+", second, ")"), n, true)
}

// minus returns d-o.
func (d Dim) minus(o Dim) Dim { return d.plus(o.times(Const(-1))) }

// times returns d*o.
func (d Dim) times(o Dim) Dim {
	switch {
	case d.Sym == "?" || o.Sym == "?":
		return Unknown
	case d.Known() && !o.Known():
		return o.times(d)
	case d.Known():
		n, ok := mulInt(d.N, o.N)
		return spell(0, "", n, ok)
	}
	dc, db := linear(d.Sym)
	if o.Known() {
		c, ok := mulInt(dc, o.N)
		n, ok2 := mulInt(d.N, o.N)
		return spell(c, db, n, ok && ok2)
	}
	if d.N != 0 || o.N != 0 {
		return Unknown
	}
	oc, ob := linear(o.Sym)
	c, ok := mulInt(dc, oc)
	return spell(c, join(min(db, ob), "*", max(db, ob)), 0, ok)
}

// over returns floor(d/k), for positive k.
func (d Dim) over(k int64) Dim {
	if k < 1 || d.Sym == "?" || len(d.Sym) > symbolLimit {
		return Unknown
	}
	c, base := linear(d.Sym)
	if g := gcd(c, k); g > 1 { // floor((c*s+n)/k): what c and k share leaves the fraction
		c, k, d.N = c/g, k/g, floorDiv(d.N, g)
	}
	q := floorDiv(d.N, k)
	r := d.N - q*k
	if c == 0 || k == 1 {
		return spell(c, base, q, true)
	}
	if x, m, ok := floorOf(base); ok && c == 1 { // floor((floor(x/m)+n)/k) = floor((x+n*m)/(m*k))
		mk, ok := mulInt(m, k)
		if !ok {
			return Unknown
		}
		return x.plus(Const(d.N).times(Const(m))).over(mk)
	}
	num := spell(c, base, r, true).String()
	if r != 0 {
		num = "(" + num + ")"
	}
	return spell(1, join("floor(", num, "/", strconv.FormatInt(k, 10), ")"), q, true)
}

// ceilOver returns ceil(d/k), for positive k.
func (d Dim) ceilOver(k int64) Dim { return d.plus(Const(k - 1)).over(k) }

// exactOver returns d/k where that is certainly a whole number, else Unknown.
func (d Dim) exactOver(k int64) Dim {
	c, _ := linear(d.Sym)
	if k < 1 || c%k != 0 || d.N%k != 0 {
		return Unknown
	}
	return d.over(k)
}

// linear splits "12*height" into 12 and "height".
func linear(sym string) (int64, string) {
	if sym == "" {
		return 0, ""
	}
	if head, base, ok := strings.Cut(sym, "*"); ok && base != "" {
		if c, err := strconv.ParseInt(head, 10, 64); err == nil && c != 0 {
			return c, base
		}
	}
	return 1, sym
}

// spell is the inverse of linear, with the offset; ok false gives Unknown.
func spell(c int64, base string, n int64, ok bool) Dim {
	switch {
	case !ok || base == "?":
		return Unknown
	case c == 0:
		return Const(n)
	case c == 1:
		return Dim{base, n}
	}
	sym := join(strconv.FormatInt(c, 10), "*", base)
	if sym == "?" {
		return Unknown
	}
	return Dim{sym, n}
}

// join concatenates the parts of a symbol, or gives "?" beyond symbolLimit.
func join(parts ...string) string {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > symbolLimit {
		return "?"
	}
	return strings.Join(parts, "")
}

// floorOf undoes the spelling that over gives: floor((x+r)/k) or floor(x/k).
func floorOf(sym string) (x Dim, k int64, ok bool) {
	body, ok := strings.CutPrefix(sym, "floor(")
	body, ok2 := strings.CutSuffix(body, ")")
	slash := strings.LastIndexByte(body, '/')
	if !ok || !ok2 || slash < 1 || !balanced(body) {
		return Dim{}, 0, false
	}
	k, err := strconv.ParseInt(body[slash+1:], 10, 64)
	if err != nil || k < 2 {
		return Dim{}, 0, false
	}
	num := body[:slash]
	if plus := strings.LastIndexByte(num, '+'); plus > 1 && num[0] == '(' && balanced(num[1:len(num)-1]) {
		if r, err := strconv.ParseInt(num[plus+1:len(num)-1], 10, 64); err == nil {
			return Dim{num[1:plus], r}, k, true
		}
	}
	return Symbol(num), k, true
}

// balanced reports whether every parenthesis of s has its partner in s.
func balanced(s string) bool {
	open := 0
	for i := 0; i < len(s) && open >= 0; i++ {
		switch s[i] {
		case '(':
			open++
		case ')':
			open--
		}
	}
	return open == 0
}

func addInt(a, b int64) (int64, bool) {
	c := a + b
	return c, (c > a) == (b > 0)
}

func mulInt(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi != 0 || lo > 1<<62 {
		return 0, false
	}
	if (a < 0) != (b < 0) {
		return -int64(lo), true
	}
	return int64(lo), true
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// floorDiv returns floor(a/b) for positive b.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, -a)
}

// product multiplies dimensions; of none it is 1.
func product(dims []Dim) Dim {
	p := Const(1)
	for _, d := range dims {
		p = p.times(d)
	}
	return p
}
