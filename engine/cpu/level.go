// Package cpu says which vector instructions kernels use, and splits work over
// cores.
package cpu

import (
	"fmt"
	"os"
	"sync"
)

// A Level is a set of vector instructions, each including those before it.
type Level int

// The levels that kernels are written for.
const (
	Portable Level = iota // plain Go, on every machine
	AVX2                  // 8 float32 at a time, with fused multiply-add
	AVX512                // 16 float32 at a time: F, DQ, BW and VL
)

var names = [...]string{Portable: "portable", AVX2: "avx2", AVX512: "avx512"}

func (l Level) String() string {
	if l < 0 || int(l) >= len(names) {
		return fmt.Sprintf("Level(%d)", int(l))
	}
	return names[l]
}

// Variable is the environment variable that lowers [Used] below what the
// machine offers, for diagnosis: "portable", "avx2" or "avx512".
const Variable = "NATONNX_CPU"

// Offered is the highest level that this machine and its operating system have.
func Offered() Level { return offered() }

// Used is the level that kernels run at in this process. It is decided once.
var Used = sync.OnceValue(func() Level {
	best := offered()
	for l, name := range names {
		if name == os.Getenv(Variable) {
			best = min(best, Level(l))
		}
	}
	return best
})
