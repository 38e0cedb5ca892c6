package supernet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/train/checkpoint"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/natonnx/natonnx/transformer"
)

// A Run is a search that is kept in a folder, and goes on from what is there.
type Run struct {
	Settings
	Images  *dataset.Dataset
	Folder  string
	Name    string        // of the policy
	Command string        // what to type to do it again, for the card
	Workers int           // cores; 0: all
	Final   int           // architectures that judge the policy at the end [40]
	Every   time.Duration // between two states that are saved [a minute]; an epoch's end saves one too
	Report  func(Progress) error
	Judging func(done, of int) // is told how far the last exam is; nil: nobody

	search *Search
	file   checkpoint.File[State]
	saved  time.Time
}

// The files of a run's folder.
const (
	SettingsFile = "settings.json"
	StateFile    = "supernet.state" // what it goes on from, and the shared weights
	LogFile      = "log.csv"        // a row for each epoch
	CurvesFile   = "curves.svg"
	PolicyFile   = "policy.onnx"
)

// Do runs the search to its end, and examines the policy. The policy is nil where it
// is the authors', which is there to be compared with.
func (r *Run) Do(ctx context.Context) (e Exam, policy *transformer.GCN, err error) {
	if err := r.Open(ctx); err != nil {
		return e, nil, err
	}
	s := r.search
	s.Report = func(p Progress) error {
		err := r.keep(p)
		if r.Report != nil {
			err = errors.Join(err, r.Report(p))
		}
		return err
	}
	err = s.Run(ctx)
	if err != nil && ctx.Err() == nil {
		return e, nil, err
	}
	if err := errors.Join(err, r.save()); err != nil {
		return e, nil, err
	}
	paper := FinalExam
	paper.Architectures, paper.Progress = cmp.Or(r.Final, paper.Architectures), r.Judging
	if e, err = s.Examine(ctx, paper); err != nil || s.Policy.Published {
		return e, nil, err
	}
	learnt, err := s.Learner.Policy(transformer.Card{Rules: s.Space.Rules.Name})
	if err != nil {
		return e, nil, err
	}
	if policy, err = learnt.(*transformer.GCN).Rounded(r.card(e)); err != nil {
		return e, nil, err
	}
	return e, policy, policy.Save(ctx, filepath.Join(r.Folder, PolicyFile))
}

// Open takes up what is in the folder, without going on.
func (r *Run) Open(ctx context.Context) (err error) {
	o, err := r.options(r.Images)
	if err != nil {
		return err
	}
	o.Workers = r.Workers
	if r.search, err = New(o); err != nil {
		return err
	}
	r.Format = settingsFormat
	if r.Digest, err = r.Images.Digest(ctx); err != nil {
		return err
	}
	if err := r.claim(r.Folder); err != nil {
		return err
	}
	r.file = checkpoint.File[State]{Path: filepath.Join(r.Folder, StateFile), Of: SettingsFile}
	if o.Resume, err = r.file.Load(); err != nil {
		return err
	}
	r.saved = time.Now()
	r.search, err = New(o)
	return err
}

// Search returns the search that was opened.
func (r *Run) Search() *Search { return r.search }

// keep saves the search after a step, when it is time.
func (r *Run) keep(p Progress) error {
	every := r.Every
	if every == 0 {
		every = time.Minute
	}
	if p.Point == nil && time.Since(r.saved) < every {
		return nil
	}
	return r.save()
}

// save writes the state, and what users look at on the way.
func (r *Run) save() error {
	if err := r.file.Save(r.search.State()); err != nil {
		return err
	}
	r.saved = time.Now()
	curves, err := r.curves()
	if err != nil {
		return err
	}
	return errors.Join(onnxgraph.WriteFile(filepath.Join(r.Folder, LogFile), r.log()), onnxgraph.WriteFile(filepath.Join(r.Folder, CurvesFile), curves))
}

// log writes the curve as CSV.
func (r *Run) log() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"epoch", "loss", "accuracy", "gain", "reward", "entropy", "held_likeliest", "held_likeliest_error", "held_sampled", "held_sampled_error", "held_random", "held_random_error"}}
	for _, p := range r.search.Curve() {
		e := p.Exam
		rows = append(rows, slices.Concat([]string{strconv.Itoa(p.Epoch)}, columns(true, p.Loss),
			columns(p.Epoch > r.WarmUp, p.Accuracy, p.Gain, p.Reward, p.Entropy),
			columns(e.Architectures > 0, e.Likeliest.Mean, e.Likeliest.Error, e.Sampled.Mean, e.Sampled.Error, e.Random.Mean, e.Random.Error)))
	}
	w.WriteAll(rows) // a bytes.Buffer takes all
	return b.Bytes()
}

// columns writes numbers, or as many empty fields where they were not measured.
func columns(measured bool, list ...float64) []string {
	text := make([]string, len(list))
	for i, x := range list {
		if measured {
			text[i] = strconv.FormatFloat(x, 'g', 6, 64)
		}
	}
	return text
}

func (r *Run) card(e Exam) transformer.Card {
	s := r.search
	weights, held := s.parts()
	return transformer.Card{
		Name: r.Name, Kind: string(train.KindGCN), Rules: s.Space.Rules.Name, Seed: r.Seed, Command: r.Command,
		Training: fmt.Sprintf("algorithm 1 of the paper on %d images of %s: a supernet of %d %s cells of %d channels, %d epochs, batch %d, architectures of %.0f %% null; "+
			"%d images train its weights (SGD from %v to %v, momentum %v, weight decay %v), %d the policy (from epoch %d on, REINFORCE by %s, %d samples, Adam from %v, entropy weight %v), "+
			"and %d none, on which %d architectures that trained nothing either are judged",
			r.Images.Len(), r.Images.Kind(), r.Layers, s.Space.Name, r.Channels, r.Epochs, r.Batch, 100*r.Nulls,
			weights, r.Rate, r.RateEnd, r.Momentum, r.WeightDecay, r.Images.Len()-weights-held, r.WarmUp+1, r.Reward, r.Samples, r.PolicyRate, s.Learner.Options.Entropy,
			held, e.Architectures),
		Scores: e.scores(),
	}
}

// scores are what a policy's card says of an exam.
func (e Exam) scores() (list []transformer.Score) {
	on := fmt.Sprintf("%d random architectures, shared weights", e.Architectures)
	for _, g := range []struct {
		name string
		Gain
	}{
		{"accuracy of the architectures", e.Before},
		{"gain, most probable transformation", e.Likeliest},
		{"gain, sampled transformations", e.Sampled},
		{"gain, best of 10 samples", e.BestSampled},
		{"gain of random search, mean", e.Random},
		{"gain of random search, best of 10", e.BestRandom},
		{"lead of a sample over random search", e.Lead},
		{"lead of the best of 10 samples over random search", e.BestLead},
	} {
		list = append(list,
			transformer.Score{Name: g.name, On: on, Value: 100 * g.Mean, Unit: "points"},
			transformer.Score{Name: g.name + ", standard error", On: on, Value: 100 * g.Error, Unit: "points"})
	}
	return list
}
