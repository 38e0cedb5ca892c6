package compress

import (
	"context"
	"slices"

	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/train/refit"
)

// A Split says how many images serve what. Fit and Held see the regressions
// (see package refit), Rank the search, Guard nobody before the guard.
type Split struct {
	Fit   int `json:"fit"`
	Held  int `json:"held"`
	Rank  int `json:"rank"`
	Guard int `json:"guard"`
}

// searchImages is how many images the search fits and ranks on at most.
const searchFit, searchHeld, searchRank = 256, 64, 320

// fewest is the number of images below which nothing can be learned.
const fewest = 32

// splitGuard keeps images apart that neither search nor fits see: a fifth, and
// no more than 1,000. With a data set of its own the guard needs none of these.
func splitGuard(images, guard *dataset.Dataset, seed uint64) (seen, held *dataset.Dataset) {
	if guard != nil {
		return images, guard
	}
	held, seen = images.Split(min(images.Len()/5, 1000), seed)
	return seen, held
}

// portions divides n images in a fixed proportion between regression and ranking.
func portions(n int) Split {
	s := Split{Rank: n / 5, Held: n / 10}
	s.Fit = n - s.Rank - s.Held
	return s
}

// small is the split of the search: a part of what there is.
func (s Split) small() Split {
	return Split{Fit: min(s.Fit, searchFit), Held: min(s.Held, searchHeld), Rank: min(s.Rank, searchRank)}
}

// load reads images into memory, in an order that the seed decides, at most so many.
func load(ctx context.Context, d *dataset.Dataset, most int, seed uint64) (*refit.Value, error) {
	d = d.Sample(most, seed)
	v := refit.NewValue(d.Len(), d.Shape())
	at := 0
	for b, err := range d.Load(ctx, dataset.LoadOptions{Batch: 32, Shuffle: true, Seed: seed}) {
		if err != nil {
			return nil, err
		}
		copy(v.Slice(at, at+len(b.Labels)).Data, b.Images)
		at += len(b.Labels)
	}
	return v, nil
}

// portion returns some of the images, one range after the other.
func (c *compression) portion(parts ...[2]int) *refit.Value {
	v := &refit.Value{Dims: c.images.Dims}
	for _, p := range parts {
		v.Data = append(v.Data, c.images.Slice(p[0], p[1]).Data...)
	}
	return v
}

// mirrored returns images with left and right exchanged.
func mirrored(v *refit.Value) *refit.Value {
	out := &refit.Value{Dims: v.Dims, Data: slices.Clone(v.Data)}
	width := v.Dims[len(v.Dims)-1]
	for row := range slices.Chunk(out.Data, width) {
		slices.Reverse(row)
	}
	return out
}
