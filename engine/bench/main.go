// Command bench times forward passes and training steps of an ONNX model in the
// engine. The script compare runs it side by side with its peers.
//
// usage: bench forward|train MODEL BATCH RUNS WORKERS
//
// It prints one JSON line: the time of every run in milliseconds, and the peak
// of the process's memory in MiB where the system tells.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/onnxgraph"
)

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: bench forward|train MODEL BATCH RUNS WORKERS")
		os.Exit(2)
	}
	if path := os.Getenv("BENCH_PROFILE"); path != "" {
		f, err := os.Create(path)
		check(err)
		check(pprof.StartCPUProfile(f))
		defer pprof.StopCPUProfile()
	}
	m, err := onnxgraph.Open(os.Args[2])
	check(err)
	batch, runs, workers := number(os.Args[3]), number(os.Args[4]), number(os.Args[5])
	var run func() error
	if os.Args[1] == "train" {
		run, err = step(m, batch, workers)
	} else {
		run, err = forward(m, batch, workers)
	}
	check(err)
	out := struct {
		Times []float64 `json:"times"`
		Peak  float64   `json:"peak"`
	}{}
	for i := range runs + 3 {
		start := time.Now()
		check(run())
		if i >= 3 {
			out.Times = append(out.Times, float64(time.Since(start).Microseconds())/1000)
		}
	}
	out.Peak = peak()
	check(json.NewEncoder(os.Stdout).Encode(out))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	check(err)
	return n
}

// input returns a batch of random numbers for the model's first input.
func input(m *onnxgraph.Model, batch int) (map[string]*engine.Tensor, error) {
	v := m.Graph.RealInputs()[0]
	dims := []int{batch}
	n := batch
	for _, d := range v.Type.Shape[1:] {
		dims = append(dims, int(d.N))
		n *= int(d.N)
	}
	r := rand.New(rand.NewPCG(1, 1))
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(r.NormFloat64())
	}
	x, err := engine.New(dims, data)
	return map[string]*engine.Tensor{v.Name: x}, err
}

func forward(m *onnxgraph.Model, batch, workers int) (func() error, error) {
	p, err := engine.Compile(context.Background(), m, engine.Options{Workers: workers})
	if err != nil {
		return nil, err
	}
	in, err := input(m, batch)
	return func() error {
		_, err := p.Run(context.Background(), in)
		return err
	}, err
}

// step returns a training step: forwards, cross-entropy, backwards, SGD.
func step(m *onnxgraph.Model, batch, workers int) (func() error, error) {
	params, err := engine.ReadParams(context.Background(), m)
	if err != nil {
		return nil, err
	}
	t, err := engine.CompileTraining(context.Background(), m, params, engine.TrainingOptions{Options: engine.Options{Workers: workers}, BatchStatistics: true})
	if err != nil {
		return nil, err
	}
	in, err := input(m, batch)
	if err != nil {
		return nil, err
	}
	labels := make([]int, batch)
	for i := range labels {
		labels[i] = i % 10
	}
	sgd := &learn.SGD{Momentum: 0.9, WeightDecay: 1e-4}
	output := m.Graph.Outputs[0].Name
	ctx := context.Background()
	return func() error {
		params.ZeroGrad()
		out, err := t.Forward(ctx, in)
		if err != nil {
			return err
		}
		_, grad, err := learn.CrossEntropy(out[output], labels, 0)
		if err != nil {
			return err
		}
		if _, err := t.Backward(ctx, map[string]*engine.Tensor{output: grad}); err != nil {
			return err
		}
		sgd.Step(params, 0.01)
		return nil
	}, nil
}
