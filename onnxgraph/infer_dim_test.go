package onnxgraph

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"strconv"
	"testing"
)

// valueOf evaluates the spelling of a dimension with numbers for its symbols;
// ok is false where it is unknown. It shares no code with the arithmetic.
func valueOf(t testing.TB, d Dim, symbols map[string]int64) (v int64, ok bool) {
	t.Helper()
	if d.Sym == "?" {
		return 0, false
	}
	e, err := parser.ParseExpr(d.String())
	if err != nil {
		t.Fatalf("dimension %q: %v", d, err)
	}
	var eval func(ast.Expr) int64
	eval = func(e ast.Expr) int64 {
		switch e := e.(type) {
		case *ast.BasicLit:
			n, _ := strconv.ParseInt(e.Value, 10, 64)
			return n
		case *ast.Ident:
			n, ok := symbols[e.Name]
			if !ok {
				t.Fatalf("dimension %q: unknown symbol %s", d, e.Name)
			}
			return n
		case *ast.ParenExpr:
			return eval(e.X)
		case *ast.UnaryExpr:
			return -eval(e.X)
		case *ast.CallExpr: // floor(x/k)
			q := e.Args[0].(*ast.BinaryExpr)
			a, b := eval(q.X), eval(q.Y)
			return (a - ((a%b)+b)%b) / b
		case *ast.BinaryExpr:
			a, b := eval(e.X), eval(e.Y)
			switch e.Op {
			case token.ADD:
				return a + b
			case token.SUB:
				return a - b
			case token.MUL:
				return a * b
			}
		}
		t.Fatalf("dimension %q: cannot evaluate", d)
		return 0
	}
	return eval(e), true
}

func TestDimSpelling(t *testing.T) {
	h, w := Symbol("height"), Symbol("width")
	half := func(d Dim) Dim { return d.minus(Const(1)).over(2).plus(Const(1)) } // 3x3, stride 2, padding 1
	for _, c := range []struct {
		got  Dim
		want string
	}{
		{h.plus(Const(2)).minus(Const(2)), "height"},
		{h.plus(Const(-3)), "height-3"},
		{half(h), "floor((height+1)/2)"},
		{h.over(2), "floor(height/2)"},
		{half(half(half(h))), "floor((height+7)/8)"},
		{h.minus(Const(7)).plus(Const(6)).over(2).plus(Const(1)), "floor((height+1)/2)"}, // 7x7, stride 2, padding 3
		{h.times(Const(4)).over(2), "2*height"},
		{h.times(Const(2)).plus(Const(3)).over(4), "floor((height+1)/2)"},
		{h.times(Const(6)).exactOver(6), "height"},
		{h.exactOver(2), "?"},
		{w.plus(h), "(height+width)"},
		{h.plus(w), "(height+width)"},
		{h.plus(h), "2*height"},
		{h.minus(h), "0"},
		{w.times(h), "height*width"},
		{h.times(w).times(Const(64)), "64*height*width"},
		{h.times(Const(0)), "0"},
		{Const(7).ceilOver(2), "4"},
		{Const(-7).over(2), "-4"},
		{Const(1 << 62).times(Const(4)), "?"},
		{Const(1<<63 - 1).plus(Const(1)), "?"},
		{h.over(0), "?"},
		{h.over(-2), "?"},
		{Unknown.plus(Const(1)), "?"},
		{Unknown.minus(Unknown), "?"},
	} {
		if c.got.String() != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// Whatever is computed in symbols, in any order, is the same in numbers.
func TestDimArithmeticHoldsInNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	known := 0
	for range 5000 {
		symbols := map[string]int64{"a": r.Int64N(500), "b": r.Int64N(500)}
		values := []int64{symbols["a"], symbols["b"], 3}
		terms := []Dim{Symbol("a"), Symbol("b"), Const(3)}
		for range 6 {
			i, j, k := r.IntN(len(terms)), r.IntN(len(terms)), 1+r.Int64N(6)
			x, y := terms[i], values[i]
			switch r.IntN(5) {
			case 0:
				x, y = x.plus(terms[j]), y+values[j]
			case 1:
				x, y = x.minus(terms[j]), y-values[j]
			case 2:
				x, y = x.times(Const(k-3)), y*(k-3)
			case 3:
				x, y = x.over(k), floorDiv(y, k)
			case 4:
				x, y = x.times(terms[j]), y*values[j]
			}
			terms, values = append(terms, x), append(values, y)
			if got, ok := valueOf(t, x, symbols); ok {
				if known++; got != y {
					t.Fatalf("%q with %v is %d, want %d", x, symbols, got, y)
				}
			}
		}
	}
	t.Logf("%d expressions agree", known)
	if known < 25000 {
		t.Errorf("only %d of 30000 expressions stayed known", known)
	}
}

// A window has as many positions as there are places for it: counted one by one.
func TestSlideCountsPositions(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	symbolic := 0
	for range 20000 {
		w := window{
			kernel: []int64{1 + r.Int64N(5)}, stride: []int64{1 + r.Int64N(4)}, dilation: []int64{1 + r.Int64N(3)},
			auto: []string{"NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"}[r.IntN(5)],
			ceil: r.IntN(3) == 0,
		}
		w.begin, w.end = []int64{r.Int64N(w.kernel[0])}, []int64{r.Int64N(w.kernel[0])}
		n := 1 + r.Int64N(40)
		want := countPositions(w, n)
		got := w.slide(0, Const(n))
		if want == 0 {
			if got != Unknown {
				t.Fatalf("%+v over %d: got %v, want unknown: the window does not fit", w, n, got)
			}
			continue
		}
		if got != Const(want) {
			t.Fatalf("%+v over %d: got %v, want %d", w, n, got, want)
		}
		if v, ok := valueOf(t, w.slide(0, Symbol("n")), map[string]int64{"n": n}); ok {
			if symbolic++; v != want {
				t.Fatalf("%+v over n = %d: got %v, want %d", w, n, w.slide(0, Symbol("n")), want)
			}
		}
	}
	if symbolic < 10000 {
		t.Errorf("only %d symbolic sizes were known", symbolic)
	}
}

func countPositions(w window, n int64) (count int64) {
	k, s := w.dilation[0]*(w.kernel[0]-1)+1, w.stride[0]
	begin, end := w.begin[0], w.end[0]
	switch w.auto {
	case "SAME_UPPER", "SAME_LOWER": // as much padding as makes a position of every s-th element
		for i := int64(0); i < n; i += s {
			count++
		}
		return count
	case "VALID":
		begin, end = 0, 0
	}
	if n+begin+end < k {
		return 0
	}
	for at := -begin; ; at += s {
		fits := at+k <= n+end
		reaches := w.ceil && at-s+k < n+end && at < n // one more, not whole, that starts before the padding
		if !fits && !reaches {
			return count
		}
		if w.ceil && at >= n {
			return count
		}
		count++
	}
}
