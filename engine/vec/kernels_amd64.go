package vec

import "github.com/natonnx/natonnx/engine/cpu"

//go:generate go run -C ../gen ./vec -pkg vec -out ../vec/vec_amd64.s -stubs ../vec/vec_amd64.go

func at(level cpu.Level) *kernels {
	switch level {
	case cpu.AVX512:
		return &avx512
	case cpu.AVX2:
		return &avx2
	}
	return &portable
}

var avx2 = kernels{
	add: addAVX2, sub: subAVX2, mul: mulAVX2, div: divAVX2, max: maxAVX2, min: minAVX2,
	scale: scaleAVX2, offset: offsetAVX2, axpy: axpyAVX2, mix4: mix4AVX2, addMix4: addMix4AVX2, fill: fillAVX2,
	clamp: clampAVX2, clampGrad: clampGradAVX2, addClampGrad: addClampGradAVX2,

	sum: sumAVX2, dot: dotAVX2, dot4: dot4AVX2, maxOf: maxOfAVX2, finite: scan(finiteAVX2),

	affine: affineAVX2, affineAdd: affineAddAVX2, addTo: addToAVX2, moments: momentsAVX2,
	normSums: normSumsAVX2, normGrad: normGradAVX2, tile: tile,
	sgd: sgdAVX2, adam: adamAVX2,

	exp: expAVX2, sigmoid: sigmoidAVX2, tanh: tanhAVX2, hardSwish: hardSwishAVX2, hardSigmoid: hardSigmoidAVX2,
	sigmoidGrad: sigmoidGradAVX2, tanhGrad: tanhGradAVX2, hardSwishGrad: hardSwishGradAVX2,
}

var avx512 = kernels{
	add: addAVX512, sub: subAVX512, mul: mulAVX512, div: divAVX512, max: maxAVX512, min: minAVX512,
	scale: scaleAVX512, offset: offsetAVX512, axpy: axpyAVX512, mix4: mix4AVX512, addMix4: addMix4AVX512, fill: fillAVX512,
	clamp: clampAVX512, clampGrad: clampGradAVX512, addClampGrad: addClampGradAVX512,

	sum: sumAVX512, dot: dotAVX512, dot4: dot4AVX512, maxOf: maxOfAVX512, finite: scan(finiteAVX512),

	affine: affineAVX512, affineAdd: affineAddAVX512, addTo: addToAVX512, moments: momentsAVX512,
	normSums: normSumsAVX512, normGrad: normGradAVX512, tile: tile,
	sgd: sgdAVX512, adam: adamAVX512,

	exp: expAVX512, sigmoid: sigmoidAVX512, tanh: tanhAVX512, hardSwish: hardSwishAVX512, hardSigmoid: hardSigmoidAVX512,
	sigmoidGrad: sigmoidGradAVX512, tanhGrad: tanhGradAVX512, hardSwishGrad: hardSwishGradAVX512,
}

// scan completes what stops at or before the first element that is not finite.
func scan(surely func(a []float32) int) func(a []float32) int {
	return func(a []float32) int {
		n := surely(a)
		return n + finite(a[n:])
	}
}

// tile transposes blocks of 16 columns by 8 rows in assembly. Two of them below
// each other read and write whole cache lines.
func tile(dst, src []float32, rows, cols, to, from int) {
	high, wide := rows&^7, cols&^7
	for j := 0; j < wide; j += 16 {
		for i := 0; i < high; i += 8 {
			transpose8(&dst[j*to+i], &src[i*from+j], min(2, (wide-j)/8), to, from)
		}
	}
	if high < rows {
		portable.tile(dst[high:], src[high*from:], rows-high, wide, to, from)
	}
	if wide < cols {
		portable.tile(dst[wide*to:], src[wide:], rows, cols-wide, to, from)
	}
}
