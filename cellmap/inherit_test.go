package cellmap

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Every finite float16 is itself when it is rounded, and what lies between two
// goes to the nearer.
func TestHalf(t *testing.T) {
	raw := make([]byte, 2<<16)
	for i := range 1 << 16 {
		binary.LittleEndian.PutUint16(raw[2*i:], uint16(i))
	}
	all, err := onnxgraph.NewTensor("all", onnxgraph.Float16, []int64{1 << 16}, raw).Float32s()
	if err != nil {
		t.Fatal(err)
	}
	const infinite = 0x7c00
	for i := range infinite {
		v := float64(all[i])
		if got := half(v); got != uint16(i) {
			t.Fatalf("%v is %#x, want %#x", v, got, i)
		}
		if got := half(-v); v != 0 && got != uint16(i|1<<15) {
			t.Fatalf("%v is %#x, want %#x", -v, got, i|1<<15)
		}
		if i+1 < infinite {
			next := float64(all[i+1])
			middle := (v + next) / 2
			if got := half(middle); got != uint16(i+i%2) {
				t.Fatalf("%v, halfway, is %#x, want the even one of %#x and %#x", middle, got, i, i+1)
			}
			if got := half(math.Nextafter(middle, next)); got != uint16(i+1) {
				t.Fatalf("a little over %v is %#x, want %#x", middle, got, i+1)
			}
		}
	}
	if got := half(1e9); got != infinite-1 {
		t.Errorf("1e9 is %#x, want the largest number", got)
	}
}
