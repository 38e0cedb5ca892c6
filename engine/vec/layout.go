package vec

import "github.com/natonnx/natonnx/engine/cpu"

// ToChannelsLast sets dst, of shape [batch][pixels][channels], to src, of shape
// [batch][channels][pixels]. They may not overlap, and hold at least that many
// elements.
func ToChannelsLast(t *cpu.Team, dst, src []float32, batch, channels, pixels int) {
	transpose(t, dst, src, batch, channels, pixels)
}

// ToChannelsFirst is the way back: dst has the shape [batch][channels][pixels],
// src the shape [batch][pixels][channels].
func ToChannelsFirst(t *cpu.Team, dst, src []float32, batch, channels, pixels int) {
	transpose(t, dst, src, batch, pixels, channels)
}

// tileSide and tileSize bound the tiles of a transposition: a tile and its
// transpose fit a first-level cache, if it is not just a few lines.
const (
	tileSide = 64
	tileSize = tileSide * tileSide
)

// transpose swaps rows and columns of each of a batch of matrices.
func transpose(t *cpu.Team, dst, src []float32, batch, rows, cols int) {
	size := rows * cols
	if batch < 1 || size < 1 {
		return
	}
	high, wide := tileSide, tileSide
	if rows < high {
		high, wide = rows, tileSize/rows
	} else if cols < wide {
		high, wide = tileSize/cols, cols
	}
	down, across := (rows+high-1)/high, (cols+wide-1)/wide
	tiles := batch * down * across
	t.Ranges(tiles, max(1, piece*tiles/(batch*size)), func(_, from, to int) {
		for ; from < to; from++ {
			m := from / (down * across) * size
			i, j := from/across%down*high, from%across*wide
			use.tile(dst[m+j*rows+i:], src[m+i*cols+j:], min(high, rows-i), min(wide, cols-j), rows, cols)
		}
	})
}
