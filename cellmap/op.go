package cellmap

import (
	"fmt"
	"strconv"
	"strings"
)

// An Op is an operation of the vocabulary, by the name that the authors' code
// uses (spec section 1.1): conv_3x3, sep_conv_5x5, max_pool_3x3, skip_connect, null.
type Op string

// The two operations that every vocabulary has.
const (
	Null Op = "null"
	Skip Op = "skip_connect"
)

// The families of operations. An Op of a family is its name, "_" and the
// kernel: height x width.
const (
	Conv    = "conv"     // dense or grouped convolution
	DWConv  = "dw_conv"  // one depthwise convolution; the authors' cells write sep_conv for it
	SepConv = "sep_conv" // depthwise and pointwise: two rounds of both in the authors' cells, one in lowered networks
	DilConv = "dil_conv" // dilated convolution; lowered, one round of depthwise and pointwise
	MaxPool = "max_pool"
	AvgPool = "avg_pool"
)

// Kernel makes the Op of a family with that kernel.
func Kernel(family string, h, w int64) Op { return Op(fmt.Sprintf("%s_%dx%d", family, h, w)) }

// Family returns the name without the kernel; skip_connect and null are their own.
func (o Op) Family() string {
	if o == Null || o == Skip {
		return string(o)
	}
	s := string(o)
	if i := strings.LastIndexByte(s, '_'); i > 0 && s[i+1:] != "" && s[i+1] >= '0' && s[i+1] <= '9' {
		s = s[:i]
	}
	return s
}

// Size returns the kernel's height and width, or 0, 0 for skip and null.
func (o Op) Size() (h, w int64) {
	s := string(o)
	high, wide, _ := strings.Cut(s[strings.LastIndexByte(s, '_')+1:], "x")
	h, err1 := strconv.ParseInt(high, 10, 64)
	w, err2 := strconv.ParseInt(wide, 10, 64)
	if err1 != nil || err2 != nil {
		return 0, 0
	}
	return h, w
}

// within reports whether the kernel is at most n x n.
func (o Op) within(n int64) bool { h, w := o.Size(); return h <= n && w <= n }

// IsPool reports whether o is a pooling.
func (o Op) IsPool() bool { f := o.Family(); return f == MaxPool || f == AvgPool }

// Class sorts operations as NAT's moves see them.
type Class uint8

// NAT's three classes: c(Other) > c(Skip) > c(Null) (paper, section 3.2).
const (
	ClassNull Class = iota
	ClassSkip
	ClassOther
)

// Class returns the class of o.
func (o Op) Class() Class {
	switch o {
	case Null:
		return ClassNull
	case Skip:
		return ClassSkip
	}
	return ClassOther
}

func (c Class) String() string { return [...]string{"N", "S", "O"}[c] }

// Published returns the name under which the authors' genotypes write o, where
// theirs is coarser: one depthwise convolution stands as sep_conv, and the 2x2
// pooling of VGG as 3x3.
func (o Op) Published() Op {
	h, w := o.Size()
	switch {
	case o.Family() == DWConv:
		return Kernel(SepConv, h, w)
	case o.Family() == MaxPool && h == 2 && w == 2:
		return Kernel(o.Family(), 3, 3)
	}
	return o
}
