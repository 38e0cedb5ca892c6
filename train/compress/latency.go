package compress

import (
	"context"
	"math"
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/measure"
)

// Both networks are timed in turn, in several rounds, and no more once they took
// long. The round that was disturbed least counts.
const (
	timedRounds = 5
	timedRuns   = 40
	timedLong   = 8 * time.Second
)

// Time measures the latency of single runs, of a batch of 1 where the network
// takes any, before and after, on the runtime of the options. It fills in
// Cost.Latency of Before and Chosen.
func (r *Result) Time(ctx context.Context) error {
	c := r.made
	pair := [2]*onnxgraph.Model{c.model, r.Model}
	best := [2]time.Duration{math.MaxInt64, math.MaxInt64}
	began := time.Now()
	for range timedRounds {
		for i, m := range pair {
			l, err := measure.Timed(ctx, m, measure.LatencyOptions{Runs: timedRuns, Limit: timedLong / timedRounds / 2, Shape: c.seen.Shape()},
				measure.Options{Runtime: c.Runtime, Workers: c.Workers})
			if err != nil {
				return err
			}
			best[i] = min(best[i], l.Median)
		}
		if time.Since(began) > timedLong {
			break
		}
	}
	r.Before.Cost.Latency, r.Chosen.Cost.Latency = best[0], best[1]
	return nil
}
