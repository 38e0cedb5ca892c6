package main

import (
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
)

// A compressionFact is what optimize and plan print in the mode compress.
type compressionFact struct {
	Schema      schemaV1        `json:"schema_version"`
	Version     string          `json:"natonnx_version"`
	Input       string          `json:"input"`
	Output      *string         `json:"output"` // null: nothing was written
	Mode        string          `json:"mode"`
	ModeReason  string          `json:"mode_reason"`
	Changed     bool            `json:"changed"`
	Retrain     string          `json:"retrain"`
	Interrupted bool            `json:"interrupted"`
	Data        dataFact        `json:"data"`
	GuardData   *dataFact       `json:"guard_data"` // null: a part of the data judges
	Split       *compress.Split `json:"split"`      // null: there was nothing to do
	Seed        uint64          `json:"seed"`
	Evals       int             `json:"evaluations_allowed"`
	Epochs      int             `json:"distillation_epochs"`
	Bounds      boundsFact      `json:"bounds"`
	Searches    []searchFact    `json:"searches"` // the first one's choice is what the rest is about
	Moves       []compress.Step `json:"moves"`
	Before      costFact        `json:"before"`
	After       *costFact       `json:"after"`   // null: no network was made
	Latency     *pairFact       `json:"latency"` // null: not measured
	Guard       *guardFact      `json:"guard"`   // null: there was nothing to judge
	Pareto      *string         `json:"pareto"`
	Points      []pointFact     `json:"points"`
}

// A boundsFact is what was asked of the result. Null: no bound.
type boundsFact struct {
	MultiplyAdds *int64   `json:"multiply_adds"`
	Params       *int64   `json:"params"`
	LatencyShare *float64 `json:"latency_share"`
	DropPoints   float64  `json:"drop_points"`
}

// A searchFact is what one search found.
type searchFact struct {
	Search      string          `json:"search"`
	Evaluations int             `json:"evaluations"`
	Chosen      candidateFact   `json:"chosen"` // fitted on all samples
	Candidates  []candidateFact `json:"candidates"`
	Front       []int           `json:"front"` // indices of candidates
}

// A candidateFact is a network that was tried.
type candidateFact struct {
	Moves           []string   `json:"moves"`
	MultiplyAdds    int64      `json:"multiply_adds"`
	Params          int64      `json:"params"`
	ActivationBytes int64      `json:"activation_bytes"`
	Loss            *float64   `json:"loss_nats"` // null: not finite
	Agreement       *shareFact `json:"agreement"`
}

func newCandidateFact(p *compress.Point) candidateFact {
	return candidateFact{append([]string{}, p.Moves...), p.Cost.MAdds, p.Cost.Params, p.Cost.Memory, finite(p.Loss), newShareFact(&p.Agreement)}
}

// A pairFact is the median latency of single runs.
type pairFact struct {
	Before  float64 `json:"before_ms"`
	After   float64 `json:"after_ms"`
	Runtime string  `json:"runtime"`
	About   string  `json:"runtime_about"`
}

// A guardFact is what the guard found.
type guardFact struct {
	Passed    bool         `json:"passed"`
	By        string       `json:"by"` // accuracy or agreement
	Drop      float64      `json:"drop_points"`
	Samples   int          `json:"samples"`
	Before    *shareFact   `json:"top1_before"` // null: without labels
	After     *shareFact   `json:"top1_after"`
	Agreement *shareFact   `json:"agreement"`
	Distance  distanceFact `json:"distance"`
}

// fact says what searches found; of the first one more than of the others.
func (x *compression) fact(results []*compress.Result) *compressionFact {
	f := &compressionFact{
		Version: version, Input: x.path, Mode: x.mode.String(), ModeReason: x.mode.why, Retrain: "no", Data: x.used, GuardData: x.guard,
		Seed: x.opt.Seed, Evals: x.opt.Evals, Epochs: x.opt.Distill, Bounds: x.boundsFact(), Searches: []searchFact{}, Moves: []compress.Step{}, Points: []pointFact{},
		Before: newCostFact(x.model, x.model.Cost(x.model.Infer())),
	}
	for _, r := range results {
		s := searchFact{r.Search, len(r.Candidates) - 1, newCandidateFact(&r.Chosen), []candidateFact{}, append([]int{}, r.Front...)}
		for i := range r.Candidates {
			s.Candidates = append(s.Candidates, newCandidateFact(&r.Candidates[i]))
		}
		f.Searches = append(f.Searches, s)
		f.Interrupted = f.Interrupted || r.Interrupted
	}
	if len(results) > 0 {
		f.Changed, f.Split, f.Moves = len(results[0].Recipe.Steps) > 0, &results[0].Recipe.Split, append(f.Moves, results[0].Recipe.Steps...)
	}
	return f
}

func (x *compression) boundsFact() boundsFact {
	b := boundsFact{DropPoints: x.opt.MaxDrop}
	if x.opt.MAdds > 0 {
		b.MultiplyAdds = &x.opt.MAdds
	}
	if x.opt.Params > 0 {
		b.Params = &x.opt.Params
	}
	if x.opt.Latency > 0 {
		b.LatencyShare = &x.opt.Latency
	}
	return b
}

// wrote adds what is known once a network was made.
func (f *compressionFact) wrote(x *compression, written *onnxgraph.Model, extra *tradeoff) {
	if x.result == nil {
		return
	}
	if written == nil {
		written = x.result.Model
	}
	after := newCostFact(written, written.Cost(written.Infer()))
	f.After, f.Points = &after, append(f.Points, extra.points...)
	if extra.curve != "" {
		f.Pareto = &extra.curve
	}
	f.Latency = x.latencyFact(x.result.Before.Cost.Latency, x.result.Chosen.Cost.Latency)
	v, e := x.result.Guard, x.result.Guard.Evaluation
	f.Guard = &guardFact{Passed: v.Passed(), By: "agreement", Drop: v.Drop, Samples: e.Samples, Agreement: newShareFact(&e.Against.Agreement), Distance: newDistanceFact(&e.Against.Distance, true)}
	if v.Labels {
		f.Guard.By, f.Guard.Before, f.Guard.After = "accuracy", newShareFact(&e.Against.Accuracy.Top1), newShareFact(&e.Accuracy.Top1)
	}
}

func (x *compression) latencyFact(before, after time.Duration) *pairFact {
	if before == 0 {
		return nil
	}
	return &pairFact{milliseconds(before), milliseconds(after), x.opt.Runtime.Name(), x.opt.Runtime.About()}
}
