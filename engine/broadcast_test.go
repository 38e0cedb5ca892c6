package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/engine/cpu"
)

// bare returns an exec without a program, for what steps are made of.
func bare(workers int) *exec {
	return &exec{ctx: context.Background(), arena: new(arena), team: cpu.NewTeam(workers), program: &Program{calls: make([]call, 1)}, own: make([]any, 1)}
}

// places lists the index of every element of a tensor, in the order of memory.
func places(dims []int, last bool) [][]int {
	order := slices.Clone(dims)
	if last {
		order = append(append([]int{dims[0]}, dims[2:]...), dims[1])
	}
	var out [][]int
	for i := range product(order) {
		index := make([]int, len(order))
		for k := len(order) - 1; k >= 0; k-- {
			index[k], i = i%order[k], i/order[k]
		}
		if last {
			index = slices.Insert(index[:len(index)-1], 1, index[len(index)-1])
		}
		out = append(out, index)
	}
	return out
}

// laid returns a tensor whose elements are f of their place, in either order of memory.
func laid(dims []int, last bool, f func(index []int) float32) *Tensor {
	data := make([]float32, 0, product(dims))
	for _, index := range places(dims, last) {
		data = append(data, f(index))
	}
	return &Tensor{Dims: dims, data: data, last: last}
}

// source returns the element of a row-major-numbered tensor that a place of the
// result is broadcast from.
func source(dims []int, place []int, number func(index []int) float32) float32 {
	index := make([]int, len(dims))
	for i, d := range dims {
		index[i] = min(place[len(place)-len(dims)+i], d-1)
	}
	return number(index)
}

// numbered numbers places so that no two differ by rounding: exact in float32.
func numbered(seed int) func(index []int) float32 {
	return func(index []int) float32 {
		n := seed
		for _, i := range index {
			n = n*7 + i
		}
		return float32(n % 2039)
	}
}

// What operators see of their operands, and what is summed up on the way back,
// is what the definition says, for every shape and order of memory, on any number
// of workers.
func FuzzBroadcast(f *testing.F) {
	f.Add([]byte{2, 3, 4}, []byte{2, 3, 4}, uint8(0))
	f.Add([]byte{2, 3, 4, 5}, []byte{1, 3, 1, 1}, uint8(1))
	f.Add([]byte{2, 3, 4, 5}, []byte{3, 1, 1}, uint8(1))
	f.Add([]byte{2, 3, 4, 5}, []byte{2, 3, 1, 1}, uint8(3))
	f.Add([]byte{2, 1, 4, 5}, []byte{2, 3, 4, 5}, uint8(1))
	f.Add([]byte{2, 1, 4, 5}, []byte{1, 3, 1, 5}, uint8(2))
	f.Add([]byte{70, 1, 40}, []byte{60, 1}, uint8(0))
	f.Add([]byte{7, 90, 90}, []byte{90, 1}, uint8(1))
	f.Add([]byte{3, 2, 200, 90}, []byte{2, 1, 1}, uint8(1))
	f.Add([]byte{}, []byte{5}, uint8(0))
	f.Add([]byte{0, 3}, []byte{1}, uint8(0))
	f.Add([]byte{2, 3}, []byte{4}, uint8(0))
	f.Fuzz(func(t *testing.T, a, b []byte, lasts uint8) {
		if len(a) > 6 || len(b) > 6 {
			return
		}
		dims := [2][]int{convertBytes(a), convertBytes(b)}
		want, err := broadcast(dims[0], dims[1])
		if err != nil || product(want) > 1<<17 || product(dims[0]) > 1<<17 || product(dims[1]) > 1<<17 {
			return
		}
		var in [2]*Tensor
		for i, d := range dims {
			in[i] = laid(d, len(d) >= 3 && lasts>>i&1 != 0, numbered(i+1))
		}
		var sums []string
		for _, workers := range []int{1, 3} {
			x := bare(workers)
			out, err := x.derive(func(dst []float32, v [][]float32) {
				for i := range dst {
					dst[i] = v[0][i]*2048 + v[1][i]
				}
			}, in[0], in[1])
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(out.Dims, want) {
				t.Fatalf("%v and %v make %v, want %v", in[0], in[1], out, want)
			}
			for i, place := range places(out.Dims, out.last) {
				if w := source(dims[0], place, numbered(1))*2048 + source(dims[1], place, numbered(2)); out.data.([]float32)[i] != w {
					t.Fatalf("%v and %v: %v is %v, want %v", in[0], in[1], place, out.data.([]float32)[i], w)
				}
			}
			sums = append(sums, checkReduced(t, x, out, dims[lasts>>2&1]))
		}
		if sums[0] != sums[1] {
			t.Error("sums depend on the number of workers")
		}
	})
}

// checkReduced compares the sums of a gradient with those by places.
func checkReduced(t *testing.T, x *exec, g *Tensor, dims []int) string {
	t.Helper()
	got, err := x.reduced(g, dims)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Dims, dims) {
		t.Fatalf("%v summed to %v, want %v", g, got, dims)
	}
	sums := make(map[string]float64, product(dims))
	for i, place := range places(g.Dims, g.last) {
		index := make([]int, len(dims))
		for k, d := range dims {
			index[k] = min(place[len(place)-len(dims)+k], d-1)
		}
		sums[fmt.Sprint(index)] += float64(g.data.([]float32)[i])
	}
	for i, place := range places(dims, got.last) {
		w := sums[fmt.Sprint(place)]
		if v := float64(got.data.([]float32)[i]); math.Abs(v-w) > 1e-6*math.Abs(w) {
			t.Fatalf("%v summed to %v: %v is %v, want %v", g, got, place, v, w)
		}
	}
	return fmt.Sprint(got.data)
}

func convertBytes(b []byte) []int {
	dims := make([]int, len(b))
	for i, v := range b {
		dims[i] = int(v)
	}
	return dims
}

func TestBroadcastDims(t *testing.T) {
	for _, c := range []struct {
		a, b, want []int
		err        string
	}{
		{a: []int{2, 3}, b: []int{3}, want: []int{2, 3}},
		{a: []int{}, b: []int{}, want: []int{}},
		{a: []int{3, 1}, b: []int{1, 4}, want: []int{3, 4}},
		{a: []int{1}, b: []int{0, 2}, want: []int{0, 2}},
		{a: []int{0}, b: []int{1}, want: []int{0}},
		{a: []int{2, 3}, b: []int{4}, err: "shapes 2x3 and 4 do not broadcast"},
		{a: []int{0}, b: []int{2}, err: "do not broadcast"},
	} {
		got, err := broadcast(c.a, c.b)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v and %v: %v, want %q", c.a, c.b, err, c.err)
			}
		} else if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v and %v: %v, %v, want %v", c.a, c.b, got, err, c.want)
		}
	}
}

func BenchmarkBroadcast(b *testing.B) {
	for _, c := range []struct {
		name string
		a, b []int
		last bool
	}{
		{"same", []int{64, 16, 32, 32}, []int{64, 16, 32, 32}, true},
		{"scalar", []int{64, 16, 32, 32}, []int{}, true},
		{"channels last", []int{64, 16, 32, 32}, []int{1, 16, 1, 1}, true},
		{"channels first", []int{64, 16, 32, 32}, []int{1, 16, 1, 1}, false},
		{"gate last", []int{64, 16, 32, 32}, []int{64, 16, 1, 1}, true},
		{"rows", []int{4096, 256}, []int{4096, 1}, false},
	} {
		left, right := laid(c.a, c.last, numbered(1)), laid(c.b, c.last && len(c.b) == 4, numbered(2))
		b.Run(c.name, func(b *testing.B) {
			x := bare(0)
			x.inputs = []int{0, 1}
			mul := vectorized{}.arithmetic("Mul")
			b.SetBytes(int64(8 * left.Len()))
			for b.Loop() {
				out, err := mul(x, []*Tensor{left, right})
				if err != nil {
					b.Fatal(err)
				}
				x.release(out)
				x.clear()
			}
		})
	}
}
