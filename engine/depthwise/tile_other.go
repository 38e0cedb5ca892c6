//go:build !amd64

package depthwise

import "github.com/natonnx/natonnx/engine/cpu"

func (t *tile) compute(_ cpu.Level, rows, cols int) { t.portable(rows, cols) }
