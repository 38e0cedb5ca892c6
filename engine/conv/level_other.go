//go:build !amd64

package conv

import "github.com/natonnx/natonnx/engine/cpu"

func (t *tile) run(cpu.Level) { t.portable() }

func (t *gradientTile) run(cpu.Level) { t.portable() }
