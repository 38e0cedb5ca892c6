package backend

import (
	"context"
	"fmt"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/onnxgraph"
)

// goRuntime is package engine.
type goRuntime struct{}

func (goRuntime) Name() string  { return Default }
func (goRuntime) Usable() error { return nil }

func (goRuntime) About() string {
	return fmt.Sprintf("natonnx's own engine, with %v instructions", cpu.Used())
}

func (goRuntime) Open(ctx context.Context, m *onnxgraph.Model, o Options) (Session, error) {
	p, err := engine.Compile(ctx, m, engine.Options{Workers: o.Workers, Memory: o.Memory, Finite: o.Finite})
	if err != nil {
		return nil, err
	}
	return goSession{p}, nil
}

type goSession struct{ *engine.Program }

func (goSession) Close() error { return nil }
