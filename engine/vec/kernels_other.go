//go:build !amd64

package vec

import "github.com/natonnx/natonnx/engine/cpu"

func at(cpu.Level) *kernels { return &portable }
