package engine

import (
	"fmt"
	"math"

	"github.com/natonnx/natonnx/engine/vec"
)

// curves are the operators of one input that look at each element alone.
// Slopes at kinks are PyTorch's.
var curves = map[string]func(n *node) curve{
	"Relu": plain(curve{
		of:       func(v float64) float64 { return max(v, 0) },
		vector:   func(dst, a []float32) { vec.Clamp(dst, a, 0, float32(math.Inf(1))) },
		back:     func(dx, dy, y []float32) { vec.ClampGrad(dx, dy, y, 0, float32(math.Inf(1))) },
		byResult: true,
	}),
	"Sigmoid":   plain(curve{of: sigmoid, vector: vec.Sigmoid, back: vec.SigmoidGrad, byResult: true}),
	"Tanh":      plain(curve{of: math.Tanh, vector: vec.Tanh, back: vec.TanhGrad, byResult: true}),
	"HardSwish": plain(curve{of: hardSwish, vector: vec.HardSwish, back: vec.HardSwishGrad}),
	"Softplus": plain(curve{
		of:       softplus,
		slope:    func(y float64) float64 { return -math.Expm1(-y) },
		byResult: true,
	}),
	"Softsign": plain(curve{
		of:    func(v float64) float64 { return v / (1 + math.Abs(v)) },
		slope: func(v float64) float64 { return 1 / ((1 + math.Abs(v)) * (1 + math.Abs(v))) },
	}),
	"Mish": plain(curve{
		of: func(v float64) float64 { return v * math.Tanh(softplus(v)) },
		slope: func(v float64) float64 {
			t := math.Tanh(softplus(v))
			return t + v*sigmoid(v)*(1-t*t)
		},
	}),
	"LeakyRelu":       leakyRelu,
	"Elu":             func(n *node) curve { return elu(1, float64(n.Float("alpha", 1)), 1) },
	"Celu":            celu,
	"Selu":            selu,
	"HardSigmoid":     hardSigmoid,
	"ThresholdedRelu": thresholdedRelu,
	"Gelu":            gelu,
	"Swish":           swish,
	"Shrink":          shrink,

	"Neg":        plain(curve{of: func(v float64) float64 { return -v }, slope: constantly(-1)}),
	"Abs":        plain(curve{of: math.Abs, slope: signOf}),
	"Sign":       plain(curve{of: signOf, slope: constantly(0)}),
	"Floor":      plain(curve{of: math.Floor, slope: constantly(0)}),
	"Ceil":       plain(curve{of: math.Ceil, slope: constantly(0)}),
	"Round":      plain(curve{of: math.RoundToEven, slope: constantly(0)}),
	"Reciprocal": plain(curve{of: func(v float64) float64 { return 1 / v }, slope: func(y float64) float64 { return -y * y }, byResult: true}),
	"Sqrt":       plain(curve{of: math.Sqrt, vector: vec.Sqrt, slope: func(y float64) float64 { return 0.5 / y }, byResult: true}),
	"Exp":        plain(curve{of: math.Exp, vector: vec.Exp, back: vec.Mul, byResult: true}),
	"Log":        plain(curve{of: math.Log, vector: vec.Log, back: vec.Div}),
	"Erf":        plain(curve{of: math.Erf, vector: vec.Erf, slope: func(v float64) float64 { return 2 / math.SqrtPi * math.Exp(-v*v) }}),

	"Sin":   plain(curve{of: math.Sin, slope: math.Cos}),
	"Cos":   plain(curve{of: math.Cos, slope: func(v float64) float64 { return -math.Sin(v) }}),
	"Tan":   plain(curve{of: math.Tan, slope: func(y float64) float64 { return 1 + y*y }, byResult: true}),
	"Asin":  plain(curve{of: math.Asin, slope: func(v float64) float64 { return 1 / math.Sqrt(1-v*v) }}),
	"Acos":  plain(curve{of: math.Acos, slope: func(v float64) float64 { return -1 / math.Sqrt(1-v*v) }}),
	"Atan":  plain(curve{of: math.Atan, slope: func(v float64) float64 { return 1 / (1 + v*v) }}),
	"Sinh":  plain(curve{of: math.Sinh, slope: math.Cosh}),
	"Cosh":  plain(curve{of: math.Cosh, slope: math.Sinh}),
	"Asinh": plain(curve{of: math.Asinh, slope: func(v float64) float64 { return 1 / math.Sqrt(v*v+1) }}),
	"Acosh": plain(curve{of: math.Acosh, slope: func(v float64) float64 { return 1 / math.Sqrt(v*v-1) }}),
	"Atanh": plain(curve{of: math.Atanh, slope: func(v float64) float64 { return 1 / (1 - v*v) }}),
}

// plain is a curve without attributes.
func plain(c curve) func(*node) curve { return func(*node) curve { return c } }

func constantly(slope float64) func(float64) float64 { return func(float64) float64 { return slope } }

func sigmoid(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

func softplus(v float64) float64 { return max(v, 0) + math.Log1p(math.Exp(-math.Abs(v))) }

func hardSwish(v float64) float64 { return v * min(1, max(0, v/6+0.5)) }

func signOf(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return v // 0, or NaN
}

func leakyRelu(n *node) curve {
	alpha := n.Float("alpha", 0.01)
	return curve{
		of: func(v float64) float64 {
			if v < 0 {
				return v * float64(alpha)
			}
			return v
		},
		vector: func(dst, a []float32) {
			var scaled [512]float32
			for len(a) > 0 {
				n := min(len(a), len(scaled))
				vec.Scale(scaled[:n], a[:n], alpha)
				if alpha <= 1 {
					vec.Max(dst[:n], a[:n], scaled[:n])
				} else {
					vec.Min(dst[:n], a[:n], scaled[:n])
				}
				dst, a = dst[n:], a[n:]
			}
		},
		back: func(dx, dy, x []float32) {
			for i, v := range x {
				dx[i] = dy[i]
				if v <= 0 {
					dx[i] *= alpha
				}
			}
		},
	}
}

// elu is gamma times v, or gamma times alpha*(exp(v/width)-1) where v is
// negative.
func elu(gamma, alpha, width float64) curve {
	return curve{
		of: func(v float64) float64 {
			if v > 0 {
				return gamma * v
			}
			return gamma * alpha * math.Expm1(v/width)
		},
		slope: func(v float64) float64 {
			if v > 0 {
				return gamma
			}
			return gamma * alpha / width * math.Exp(v/width)
		},
	}
}

func celu(n *node) curve {
	alpha := float64(n.Float("alpha", 1))
	return elu(1, alpha, alpha)
}

func selu(n *node) curve {
	return elu(float64(n.Float("gamma", 1.05070102214813232421875)), float64(n.Float("alpha", 1.67326319217681884765625)), 1)
}

func hardSigmoid(n *node) curve {
	alpha, beta := n.Float("alpha", 0.2), n.Float("beta", 0.5)
	return curve{
		of:       func(v float64) float64 { return min(1, max(0, v*float64(alpha)+float64(beta))) },
		vector:   func(dst, a []float32) { vec.HardSigmoid(dst, a, alpha, beta) },
		back:     func(dx, dy, y []float32) { vec.HardSigmoidGrad(dx, dy, y, alpha) },
		byResult: true,
	}
}

func thresholdedRelu(n *node) curve {
	alpha := float64(n.Float("alpha", 1))
	over := func(v, yes float64) float64 {
		if v > alpha {
			return yes
		}
		return 0
	}
	return curve{
		of:    func(v float64) float64 { return over(v, v) },
		slope: func(v float64) float64 { return over(v, 1) },
	}
}

// gelu is v times the probability that a normal variable is below v, or its
// approximation by tanh.
func gelu(n *node) curve {
	if n.Str("approximate", "none") == "tanh" {
		const a, b = 0.7978845608028654, 0.044715 // sqrt(2/pi)
		return curve{
			of: func(v float64) float64 { return v / 2 * (1 + math.Tanh(a*(v+b*v*v*v))) },
			slope: func(v float64) float64 {
				t := math.Tanh(a * (v + b*v*v*v))
				return (1+t)/2 + v/2*(1-t*t)*a*(1+3*b*v*v)
			},
		}
	}
	return curve{
		of: func(v float64) float64 { return v / 2 * (1 + math.Erf(v/math.Sqrt2)) },
		slope: func(v float64) float64 {
			return (1+math.Erf(v/math.Sqrt2))/2 + v*math.Exp(-v*v/2)/math.Sqrt(2*math.Pi)
		},
	}
}

func swish(n *node) curve {
	alpha := float64(n.Float("alpha", 1))
	return curve{
		of: func(v float64) float64 { return v * sigmoid(alpha*v) },
		slope: func(v float64) float64 {
			s := sigmoid(alpha * v)
			return s + alpha*v*s*(1-s)
		},
	}
}

func shrink(n *node) curve {
	bias, limit := float64(n.Float("bias", 0)), float64(n.Float("lambd", 0.5))
	return curve{
		of: func(v float64) float64 {
			switch {
			case v < -limit:
				return v + bias
			case v > limit:
				return v - bias
			}
			return 0
		},
		slope: func(v float64) float64 {
			if math.Abs(v) > limit {
				return 1
			}
			return 0
		},
	}
}

// clampOf returns the bounds of a Relu or of a Clip between constants, as
// [vec.Clamp] takes them. ok is false for every other node.
func clampOf(n *node) (lo, hi float32, ok bool) {
	lo, hi = float32(math.Inf(-1)), float32(math.Inf(1))
	switch {
	case n.Is("Relu"):
		return 0, hi, true
	case !n.Is("Clip"):
		return 0, 0, false
	case n.opset < 11:
		return n.Float("min", -math.MaxFloat32), n.Float("max", math.MaxFloat32), true
	}
	lo, first := n.bound(1, lo)
	hi, second := n.bound(2, hi)
	return lo, hi, first && second
}

// bound returns input i where it is one constant float32, def where it is absent.
func (n *node) bound(i int, def float32) (float32, bool) {
	if !n.has(i) {
		return def, true
	}
	t := n.constant(i)
	if t == nil || t.Len() != 1 {
		return 0, false
	}
	f, ok := t.data.([]float32)
	if !ok {
		return 0, false
	}
	return f[0], true
}

// A clip computes Clip. Inputs: x, and from opset 11 on the bounds, which have no
// gradient.
type clip struct {
	fixed bool // the bounds are attributes
	clamp clamp
}

func newClip(n *node) (step, error) {
	c := &clip{fixed: n.opset < 11}
	if c.fixed {
		c.clamp.lo, c.clamp.hi, _ = clampOf(n)
	}
	return c, n.require(1)
}

func (*clip) anyLayout() {}

func (c *clip) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	if in[0].isHalf() {
		return inSingle(x, in, c.run)
	}
	for i, t := range in[1:] {
		if t != nil && (t.Type() != in[0].Type() || t.Len() != 1) {
			return nil, fmt.Errorf("input %d is %v, want one %v", i+1, t, in[0].Type())
		}
	}
	if _, ok := in[0].data.([]float32); !ok {
		return c.other(x, in)
	}
	out, err := x.into(in, 0)
	if err != nil {
		return nil, err
	}
	b := c.bounds(in)
	from, to := in[0].data.([]float32), out.data.([]float32)
	vec.Parallel(x.team, len(to), func(first, end int) { vec.Clamp(to[first:end], from[first:end], b.lo, b.hi) })
	return []*Tensor{out}, nil
}

// bounds returns the ends for float32.
func (c *clip) bounds(in []*Tensor) clamp {
	if c.fixed {
		return c.clamp
	}
	b := noClamp
	if len(in) > 1 && in[1] != nil {
		b.lo = in[1].data.([]float32)[0]
	}
	if len(in) > 2 && in[2] != nil {
		b.hi = in[2].data.([]float32)[0]
	}
	return b
}

// other clips another type: by the larger of x and the lower bound, and the smaller of
// that and the upper.
func (c *clip) other(x *exec, in []*Tensor) ([]*Tensor, error) {
	a := algebras[in[0].Type()]
	if a == nil || a.arithmetic("Max") == nil {
		return nil, fmt.Errorf("input 0 is %v, want a number", in[0])
	}
	t, ends := in[0], in[1:]
	if c.fixed {
		if _, ok := t.data.([]float64); !ok {
			return nil, fmt.Errorf("input 0 is %v, want a float type", t)
		}
		ends = []*Tensor{of([]int{}, []float64{float64(c.clamp.lo)}), of([]int{}, []float64{float64(c.clamp.hi)})}
	}
	for i, end := range ends {
		if end == nil {
			continue
		}
		var err error
		if t, err = a.arithmetic([]string{"Max", "Min"}[i])(x, []*Tensor{t, end}); err != nil {
			return nil, err
		}
	}
	return []*Tensor{t}, nil
}

func (c *clip) reads() (in, out indices) { return only(1, 2), only(0) }

func (c *clip) grad(x *exec, in, out, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	b := c.bounds(in)
	dx, err := x.slope(dout[0], out[0], func(dx, dy, y []float32) { vec.ClampGrad(dx, dy, y, b.lo, b.hi) })
	return []*Tensor{dx}, err
}
