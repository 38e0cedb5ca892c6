package engine

import (
	"errors"
	"fmt"

	"github.com/natonnx/natonnx/engine/pool"
	"github.com/natonnx/natonnx/engine/window"
)

// A maxPool computes MaxPool, with the places of the maxima as second output.
type maxPool struct {
	windowed
	columnMajor bool
}

func newMaxPool(n *node) (step, error) {
	w, err := newPool(n)
	return &maxPool{w, n.Int("storage_order", 0) != 0}, err
}

func newPool(n *node) (windowed, error) {
	w, err := newWindowed(n)
	if err == nil && w.kernel == nil {
		err = errors.New("kernel_shape is missing")
	}
	return w, err
}

func (*maxPool) anyLayout() {}
func (*maxPool) inFloat32() {}

func (p *maxPool) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	s, err := p.slide(in[0].Dims)
	if err != nil {
		return nil, err
	}
	img, err := x.image(in[0])
	if err != nil {
		return nil, err
	}
	out, err := x.lend(result(img.Dims, img.Dims[1], s), true)
	if err != nil {
		return nil, err
	}
	pool.Max(x.team, s, img.Dims[0], img.Dims[1], out.data.([]float32), img.data.([]float32))
	all := []*Tensor{out}
	if len(x.program.calls[x.current].out) > 1 {
		places := heap[int64](out.Dims)
		pool.MaxIndices(x.team, s, img.Dims[0], img.Dims[1], places.data.([]int64), img.data.([]float32), p.columnMajor)
		all = append(all, places)
	}
	return all, nil
}

func (*maxPool) reads() (in, out indices) { return only(0), 0 }

func (p *maxPool) grad(x *exec, in, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	return x.poolGrad(p.windowed, in[0], dout[0], func(s window.Slide, din, dy []float32) error {
		img, err := x.channelsLast(in[0])
		if err == nil {
			pool.MaxBackward(x.team, s, img.Dims[0], img.Dims[1], din, dy, img.data.([]float32))
		}
		return err
	})
}

// poolGrad lends the gradient of a pooling's input and lets back fill it.
func (x *exec) poolGrad(w windowed, in, dout *Tensor, back func(s window.Slide, din, dy []float32) error) ([]*Tensor, error) {
	s, err := w.slide(in.Dims)
	if err != nil {
		return nil, err
	}
	dy, err := x.channelsLast(dout)
	if err != nil {
		return nil, err
	}
	din, err := x.lend(in.Dims, true)
	if err != nil {
		return nil, err
	}
	return []*Tensor{din}, back(s, din.data.([]float32), dy.data.([]float32))
}

// An averagePool computes AveragePool.
type averagePool struct {
	windowed
	includePad bool
}

func newAveragePool(n *node) (step, error) {
	w, err := newPool(n)
	return &averagePool{w, n.Int("count_include_pad", 0) != 0}, err
}

func (*averagePool) anyLayout() {}
func (*averagePool) inFloat32() {}

func (p *averagePool) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	s, err := p.slide(in[0].Dims)
	if err != nil {
		return nil, err
	}
	img, err := x.image(in[0])
	if err != nil {
		return nil, err
	}
	out, err := x.lend(result(img.Dims, img.Dims[1], s), true)
	if err != nil {
		return nil, err
	}
	pool.Average(x.team, s, img.Dims[0], img.Dims[1], out.data.([]float32), img.data.([]float32), p.includePad)
	return []*Tensor{out}, nil
}

// image returns a float32 image batch with channels last.
func (x *exec) image(t *Tensor) (*Tensor, error) {
	if _, ok := t.data.([]float32); !ok || len(t.Dims) < 3 {
		return nil, fmt.Errorf("input is %v, want float32 of three dimensions or more", t)
	}
	return x.channelsLast(t)
}

func (*averagePool) reads() (in, out indices) { return 0, 0 }

func (p *averagePool) grad(x *exec, in, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	return x.poolGrad(p.windowed, in[0], dout[0], func(s window.Slide, din, dy []float32) error {
		pool.AverageBackward(x.team, s, in[0].Dims[0], in[0].Dims[1], din, dy, p.includePad)
		return nil
	})
}

// A globalPool computes GlobalAveragePool and GlobalMaxPool.
type globalPool struct{ max bool }

func newGlobalAverage(*node) (step, error) { return &globalPool{}, nil }
func newGlobalMax(*node) (step, error)     { return &globalPool{max: true}, nil }

func (*globalPool) anyLayout() {}
func (*globalPool) inFloat32() {}

func (g *globalPool) run(x *exec, in []*Tensor) ([]*Tensor, error) {
	img, err := x.image(in[0])
	if err != nil {
		return nil, err
	}
	batch, channels, pixels := frame(img.Dims)
	dims := []int{batch, channels}
	for range img.Dims[2:] {
		dims = append(dims, 1)
	}
	out, err := x.lend(dims, true)
	if err != nil {
		return nil, err
	}
	f := pool.GlobalAverage
	if g.max {
		f = pool.GlobalMax
	}
	f(x.team, batch, pixels, channels, out.data.([]float32), img.data.([]float32))
	return []*Tensor{out}, nil
}

func (g *globalPool) reads() (in, out indices) {
	if g.max {
		return only(0), 0
	}
	return 0, 0
}

func (g *globalPool) grad(x *exec, in, _, dout []*Tensor, _ []bool) ([]*Tensor, error) {
	dy, err := x.channelsLast(dout[0])
	if err != nil {
		return nil, err
	}
	din, err := x.lend(in[0].Dims, true)
	if err != nil {
		return nil, err
	}
	batch, channels, pixels := frame(din.Dims)
	to, g0 := din.data.([]float32), dy.data.([]float32)
	if !g.max {
		pool.GlobalAverageBackward(x.team, batch, pixels, channels, to, g0)
		return []*Tensor{din}, nil
	}
	img, err := x.channelsLast(in[0])
	if err != nil {
		return nil, err
	}
	pool.GlobalMaxBackward(x.team, batch, pixels, channels, to, g0, img.data.([]float32))
	return []*Tensor{din}, nil
}
