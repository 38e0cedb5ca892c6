package train

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/transformer"
)

func TestPolicyRepeats(t *testing.T) {
	data := filepath.Join(t.TempDir(), "made-up.csv")
	if err := os.WriteFile(data, madeUpCSV(), 0o666); err != nil {
		t.Fatal(err)
	}
	run := func() (file []byte, log string, calls int) {
		var b strings.Builder
		g, err := Policy(t.Context(), PolicyOptions{
			Data: data, Seed: 4, Seeds: 2, Steps: 3, Log: &b, Progress: func(PolicyProgress) { calls++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		if file, err = g.Encode(); err != nil {
			t.Fatal(err)
		}
		return file, b.String(), calls
	}
	file, log, calls := run()
	again, logAgain, _ := run()
	if !bytes.Equal(file, again) || log != logAgain {
		t.Errorf("the same seed gave another policy file or log:\n%s%s", log, logAgain)
	}
	if lines := strings.Split(log, "\n"); len(lines) != 4 || calls != 2 || !strings.HasPrefix(lines[1], "4,3,") || !strings.HasPrefix(lines[2], "5,3,") {
		t.Errorf("%d calls and this log, want 2 and a header with a line for each of seeds 4 and 5:\n%s", calls, log)
	}
	g, err := transformer.Parse("policy.onnx", file)
	if err != nil {
		t.Fatal(err)
	}
	const command = "natonnx train policy --data made-up.csv --steps 3 --seeds 2 --seed 4 -o nat-gcn.onnx"
	if got := g.Card().Command; got != command {
		t.Errorf("card's command is %q, want %q", got, command)
	}
}

// What a finished training left in its folder gives the same bytes again; what
// another one left is not taken for its own, and damage is named.
func TestPolicyCheckpoint(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "made-up.csv")
	if err := os.WriteFile(data, madeUpCSV(), 0o666); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "mine.training")
	run := func(steps int) ([]byte, string, error) {
		var log strings.Builder
		g, err := Policy(t.Context(), PolicyOptions{Data: data, Seed: 4, Seeds: 2, Steps: steps, Log: &log, Checkpoint: folder})
		if err != nil {
			return nil, "", err
		}
		file, err := g.Encode()
		return file, log.String(), err
	}
	file, log, err := run(3)
	if err != nil {
		t.Fatal(err)
	}
	again, logAgain, err := run(3)
	if err != nil || !bytes.Equal(file, again) || log != logAgain {
		t.Errorf("gone on from its end, the training gave another policy or log (%v)", err)
	}
	state := filepath.Join(folder, "seed-") // either: seeds go side by side
	if _, _, err := run(5); err == nil || !strings.Contains(err.Error(), state) || !strings.Contains(err.Error(), "another training") {
		t.Errorf("error %v, want one that tells that %s4.state is of another training", err, state)
	}
	state += "4.state"
	if err := os.Truncate(state, 1000); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(3); err == nil || !strings.Contains(err.Error(), state) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v, want one that tells that %s is damaged", err, state)
	}
}

func TestPolicyIsCancelled(t *testing.T) {
	data := filepath.Join(t.TempDir(), "made-up.csv")
	if err := os.WriteFile(data, madeUpCSV(), 0o666); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Policy(ctx, PolicyOptions{Data: data}); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// builtinPolicies are the built-in ones that [Policy] made; others come from supernets.
func builtinPolicies(t *testing.T) (list []*transformer.GCN) {
	for _, name := range transformer.Builtins() {
		g, err := transformer.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(g.Card().Command, "natonnx train policy ") {
			list = append(list, g)
		}
	}
	return list
}

// Every such policy's card must tell what the policy does: its scores are
// measured again, on the cells it never saw.
func TestBuiltinPoliciesKeepTheirCards(t *testing.T) {
	table := needTable(t)
	for _, g := range builtinPolicies(t) {
		name := g.Card().Name
		var err error
		var scores heldOut
		for w := range scores {
			if scores[w], err = Evaluate(t.Context(), g, table, &Writings[w], table.Split().HeldOut, g.Card().Seed); err != nil {
				t.Fatal(err)
			}
		}
		bounded := strings.Contains(g.Card().Command, "--max-madds")
		for d, e := range scores[0] {
			// A hand-written rule captures 70, 63 and 57 % of all cells' headroom.
			if floor := [Datasets]float64{92, 85, 85}[d]; !bounded && min(e.Max.Captured, e.Sampled.Captured) < floor {
				t.Errorf("%s on %v: captured %.2f %% and, sampled, %.2f %%, want at least %v", name, e.Dataset, e.Max.Captured, e.Sampled.Captured, floor)
			}
		}
		share := 0.0 // the bound is one on the mean over writings
		for _, s := range scores {
			share += s[CIFAR10].Max.MAdds / s[CIFAR10].MAdds / scoredWritings
		}
		if bounded && share > 0.52 {
			t.Errorf("%s: %.1f %% of the multiply-adds, want half", name, 100*share)
		}
		for _, s := range cardScores(scores, nil) {
			if !strings.Contains(s.Name, "mean of") && !strings.Contains(s.Name, "samples") && !slices.Contains(g.Card().Scores, s) {
				t.Errorf("%s: measured %+v, which the card does not say", name, s)
			}
		}
	}
}

// The whole trainings, minutes long: NATONNX_LONG=1 go test -run TestBuiltinPoliciesAreReproduced -timeout 60m ./train
func TestBuiltinPoliciesAreReproduced(t *testing.T) {
	if os.Getenv("NATONNX_LONG") == "" {
		t.Skip("trains for minutes; set NATONNX_LONG=1")
	}
	for _, built := range builtinPolicies(t) {
		card := built.Card()
		name := card.Name
		rules, _ := transformer.RulesByName(card.Rules)
		o := PolicyOptions{Data: corpus.Need(t, "nas", tableFile), Name: name, Rules: rules, Seed: card.Seed}
		if strings.Contains(card.Command, "--max-madds 50%") {
			o.MaxCost = 0.5
		}
		g, err := Policy(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.Encode()
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("..", "transformer", "policies", name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: training again gave another file than the embedded one", name)
		}
	}
}
