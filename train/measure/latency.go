package measure

import (
	"context"
	"slices"
	"time"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/backend"
	"github.com/natonnx/natonnx/onnxgraph"
)

// LatencyOptions say what to time.
type LatencyOptions struct {
	Batch int           // samples in a run where the network takes any; 0: 1
	Runs  int           // how many runs to time; 0: 100
	Limit time.Duration // no more runs after that, once there are 10; 0: no limit
	Shape []int         // of one sample; nil: as the network declares
	Seed  uint64        // of the inputs
}

// warmUps is how many runs go before those that are timed.
const warmUps = 3

// fewest is how many runs are timed even where they take long.
const fewest = 10

// A Latency is how long runs took that followed each other, from having an
// input to having the output. Other work on the machine counts as well.
type Latency struct {
	Batch, Runs, WarmUps, Workers int
	Min, Mean                     time.Duration
	// Percentiles by nearest rank: at least that share of runs took no longer.
	Median, P90, P99 time.Duration
}

// Timed measures the latency of a network, with all workers on one run.
func Timed(ctx context.Context, graph *onnxgraph.Model, l LatencyOptions, o Options) (*Latency, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	in, err := input(graph)
	if err != nil {
		return nil, err
	}
	m := &Model{Path: graph.Path, Input: in, Workers: o.Workers}
	shape, err := m.Sample(l.Shape)
	if err != nil {
		return nil, err
	}
	batch := max(l.Batch, 1)
	if d := in.Shape[0]; d.Known() {
		batch = int(d.N)
	}
	if l.Shape == nil {
		if shape, err = m.probeShape(batch); err != nil {
			return nil, err
		}
	}
	session, err := o.Runtime.Open(ctx, graph, backend.Options{Workers: o.Workers, Memory: o.Memory})
	if err != nil {
		return nil, err
	}
	defer session.Close()
	x, err := engine.New(append([]int{batch}, shape...), probes(l.Seed, batch, shape))
	if err != nil {
		return nil, err
	}
	if l.Runs <= 0 {
		l.Runs = 100
	}
	times, err := times(ctx, session, map[string]*engine.Tensor{in.Name: x}, l)
	if err != nil {
		return nil, m.explain(err)
	}
	return summary(times, batch, o.Workers), nil
}

// times runs a session over and over.
func times(ctx context.Context, s backend.Session, in map[string]*engine.Tensor, l LatencyOptions) ([]time.Duration, error) {
	var list []time.Duration
	began := time.Now()
	for i := range warmUps + l.Runs {
		before := time.Now()
		if _, err := s.Run(ctx, in); err != nil {
			return nil, err
		}
		if i >= warmUps {
			list = append(list, time.Since(before))
		}
		if l.Limit > 0 && len(list) >= fewest && time.Since(began) > l.Limit {
			break
		}
	}
	return list, nil
}

func summary(list []time.Duration, batch, workers int) *Latency {
	slices.Sort(list)
	var sum time.Duration
	for _, t := range list {
		sum += t
	}
	return &Latency{
		Batch: batch, Runs: len(list), WarmUps: warmUps, Workers: workers, Min: list[0], Mean: sum / time.Duration(len(list)),
		Median: percentile(list, 50), P90: percentile(list, 90), P99: percentile(list, 99),
	}
}

// percentile returns the smallest element of a sorted list that at least p
// percent of all do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(p*len(sorted)+99)/100-1]
}
