//go:build !ort || !cgo

package backend

import (
	"context"
	"errors"

	"github.com/natonnx/natonnx/onnxgraph"
)

// ortRuntime stands for ONNX Runtime in a program that was built without it.
type ortRuntime struct{}

var errNoORT = errors.New("natonnx was built without it; build it with cgo and the tag ort (go build -tags ort ./cmd/natonnx)")

func (ortRuntime) Name() string  { return "ort" }
func (ortRuntime) About() string { return "ONNX Runtime" }
func (ortRuntime) Usable() error { return errNoORT }

func (ortRuntime) Open(context.Context, *onnxgraph.Model, Options) (Session, error) {
	return nil, errNoORT
}
