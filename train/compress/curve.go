// Package compress makes a trained network cheaper, and keeps what it computes
// as well as some images allow.
package compress

import (
	"time"

	"github.com/natonnx/natonnx/train/measure"
)

// A Point is one way to write the network: what it costs and how well it does.
type Point struct {
	// Moves say what was done, one per changed cell, as Move.String writes them;
	// none for the network as it was.
	Moves []string
	Cost  Cost
	// Loss is the Kullback-Leibler divergence of the outputs from those of the
	// network as it was, at temperature 4, in nats, the mean over the images that the
	// search looks at.
	Loss float64
	// Agreement is how often both have the same top class, on the same images.
	Agreement measure.Share
	Accuracy  *measure.Share // top-1, on the same images; nil: they have no labels
	Chosen    bool           // the point that was written
}

// Cost is what a network costs. Shares are of the network as it was.
type Cost struct {
	MAdds, Params, Memory int64         // multiply-adds, elements, bytes of activations
	Latency               time.Duration // the median of a run; 0: not measured
}
