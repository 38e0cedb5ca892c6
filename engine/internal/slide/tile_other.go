//go:build !amd64

package slide

import "github.com/natonnx/natonnx/engine/cpu"

// Compute computes a tile of rows x cols.
func (t *Tile) Compute(_ cpu.Level, rows, cols int) { t.portable(rows, cols) }
