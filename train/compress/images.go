package compress

import (
	"context"
	"math"
	"math/rand/v2"
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

// A view of images shows them otherwise, as pictures of the same things: half of
// them with left and right exchanged, and all but the first view a part of each,
// three quarters of its sides or more, enlarged to the whole.
func view(v *refit.Value, number int, seed uint64) *refit.Value {
	out := refit.NewValue(v.Len(), v.Dims)
	for i := range v.Len() {
		from, to := v.Slice(i, i+1).Data, out.Slice(i, i+1).Data
		rng := rand.New(rand.NewPCG(seed+uint64(number), uint64(i)))
		scale, mirror := 0.75+0.25*rng.Float64(), number == 0 || rng.IntN(2) == 1
		if number == 0 {
			scale = 1
		}
		zoom(to, from, v.Dims, scale, rng.Float64(), rng.Float64(), mirror)
	}
	return out
}

// zoom enlarges the part of an image that has a share of its height and width,
// bilinearly; y and x from 0 to 1 say where it is.
func zoom(to, from []float32, dims []int, scale, y, x float64, mirror bool) {
	h, w := dims[1], dims[2]
	rows, columns := stretch(h, scale, y), stretch(w, scale, x)
	if mirror {
		slices.Reverse(columns)
	}
	for c := range dims[0] {
		plane, out := from[c*h*w:], to[c*h*w:]
		for i, r := range rows {
			a, b := plane[r.at*w:], plane[min(r.at+1, h-1)*w:]
			for j, k := range columns {
				next := min(k.at+1, w-1)
				above := a[k.at] + k.part*(a[next]-a[k.at])
				below := b[k.at] + k.part*(b[next]-b[k.at])
				out[i*w+j] = above + r.part*(below-above)
			}
		}
	}
}

// A tap is a place between two pixels.
type tap struct {
	at   int
	part float32 // of the way to the next one
}

// stretch says where the pixels of an enlarged part come from.
func stretch(n int, scale, offset float64) []tap {
	taps := make([]tap, n)
	first := offset * (1 - scale) * float64(n-1)
	for i := range taps {
		place := first + scale*float64(i)
		taps[i] = tap{min(int(place), n-1), float32(place - math.Floor(place))}
	}
	return taps
}
