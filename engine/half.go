package engine

import "math"

// Float32 returns the number that a half-precision float stands for, exactly.
func (h Float16) Float32() float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0: // zero, or no leading one
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(sign | math.Float32bits(v))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// Float32 returns the number that a bfloat16 stands for, exactly.
func (b BFloat16) Float32() float32 { return math.Float32frombits(uint32(b) << 16) }

// toFloat16 rounds to nearest, ties to even; what is too large becomes infinite.
func toFloat16(v float32) Float16 {
	bits := math.Float32bits(v)
	sign, bits := Float16(bits>>16&0x8000), bits&0x7fffffff
	switch {
	case bits > 0xff<<23: // NaN
		return sign | 0x7e00
	case bits >= (127+16)<<23:
		return sign | 0x7c00
	case bits < (127-14)<<23: // no leading one: a multiple of 2^-24
		return sign | Float16(math.RoundToEven(float64(math.Float32frombits(bits))*(1<<24)))
	}
	bits += 0xfff + bits>>13&1
	return sign | Float16((bits-(127-15)<<23)>>13)
}

// toBFloat16 rounds to nearest, ties to even.
func toBFloat16(v float32) BFloat16 {
	bits := math.Float32bits(v)
	if v != v {
		return BFloat16(bits>>16 | 0x40)
	}
	return BFloat16((bits + 0x7fff + bits>>16&1) >> 16)
}
