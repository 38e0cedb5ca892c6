package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
)

// A stampedData says in a stamp which data were used, and for what: all that a
// replay needs to use them in the same way.
type stampedData struct {
	Kind       string         `json:"kind"`
	Samples    int            `json:"samples"`
	Digest     string         `json:"digest"`
	Preprocess string         `json:"preprocess"`
	Limit      int            `json:"limit,omitempty"`
	LimitSeed  uint64         `json:"limit_seed,omitempty"`
	Split      compress.Split `json:"split,omitzero"`
	// GuardApart says that the guard had other data.
	GuardApart bool         `json:"guard_apart,omitempty"`
	Guard      *stampedData `json:"guard,omitempty"`
	Memory     int64        `json:"memory,omitempty"` // bytes that bounded how many pictures were used
}

// A stampedMeasure is what a stamp says of a network. There is no latency: bytes
// would depend on it.
type stampedMeasure struct {
	MultiplyAdds    int64      `json:"multiply_adds"`
	Params          int64      `json:"params"`
	ActivationBytes int64      `json:"activation_bytes"`
	Top1            *shareFact `json:"top1,omitempty"`
}

// stampedMeasures are what a stamp says that was measured, and on what.
type stampedMeasures struct {
	On        string         `json:"on"`
	Before    stampedMeasure `json:"before"`
	After     stampedMeasure `json:"after"`
	Agreement *shareFact     `json:"agreement"`
	KL        *float64       `json:"kl_nats"`
}

// stamped is a result with what was done noted in it; the input where nothing was.
func (x *compression) stamped(r *compress.Result) (*onnxgraph.Model, error) {
	if r == nil || len(r.Recipe.Steps) == 0 {
		return x.model, nil
	}
	m, err := r.Model.Apply(x.stamp(r))
	if err != nil {
		return nil, err
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("the result would be invalid and was not written: %v", err)
	}
	return m, nil
}

func (x *compression) stamp(r *compress.Result) *onnxgraph.Patch {
	recovery := "closed"
	if r.Recipe.Distill > 0 {
		recovery = "distill"
	}
	notes := [][2]string{{"version", version}, {"mode", "compress"}, {"search", r.Search}, {"evals", strconv.Itoa(len(r.Candidates) - 1)}, {"recover", recovery}}
	if r.Recipe.Distill > 0 {
		notes = append(notes, [2]string{"epochs", strconv.Itoa(r.Recipe.Distill)})
	}
	if r.Recipe.Cut {
		notes = append(notes, [2]string{"interrupted", "yes"})
	}
	notes = append(notes, [][2]string{
		{"seed", strconv.FormatUint(r.Recipe.Seed, 10)}, {"retrain", "no"}, {"kernels", cpu.Used().String()}, {"source", x.source},
		{"moves", compact(r.Recipe.Steps)}, {"data", compact(x.stampedData(r))}, {"measures", compact(measuresOf(r))},
	}...)
	p := &onnxgraph.Patch{Rule: "stamp"}
	for _, n := range notes {
		p.Metadata = append(p.Metadata, onnxgraph.Property{Key: stampPrefix + n[0], Value: n[1]})
	}
	return p
}

// compact writes JSON in one line.
func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and finite numbers always have a form
	}
	return string(text)
}

func (x *compression) stampedData(r *compress.Result) stampedData {
	d := newStampedData(&x.used)
	d.Split, d.GuardApart, d.Memory = r.Recipe.Split, r.Recipe.Apart, x.opt.Memory
	if x.guard != nil {
		guard := newStampedData(x.guard)
		d.Guard = &guard
	}
	return d
}

func newStampedData(f *dataFact) stampedData {
	d := stampedData{Kind: f.Kind, Samples: f.Samples, Digest: f.Digest, Preprocess: f.Preprocess, Limit: f.Limit}
	if f.Limit > 0 {
		d.LimitSeed = f.Seed
	}
	return d
}

// measuresOf are those of the guard; where it did not judge, those of the search.
func measuresOf(r *compress.Result) stampedMeasures {
	of := func(c compress.Cost) stampedMeasure {
		return stampedMeasure{MultiplyAdds: c.MAdds, Params: c.Params, ActivationBytes: c.Memory}
	}
	m := stampedMeasures{"the samples that the search ranked by", of(r.Before.Cost), of(r.Chosen.Cost), newShareFact(&r.Chosen.Agreement), nil}
	e := r.Guard.Evaluation
	if e == nil || e.Against == nil {
		return m
	}
	m.On, m.Agreement, m.KL = "the guard's samples", newShareFact(&e.Against.Agreement), finite(e.Against.KL)
	if r.Guard.Labels {
		m.Before.Top1, m.After.Top1 = newShareFact(&e.Against.Accuracy.Top1), newShareFact(&e.Accuracy.Top1)
	}
	return m
}
