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
		t.Error("the same seed gave another policy file or log")
	}
	if lines := strings.Count(log, "\n"); lines != 3 || calls != 2 || !strings.Contains(log, "\n4,3,") || !strings.Contains(log, "\n5,3,") {
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

// The built-in policy's card must tell what the policy does: its scores are
// measured again, on the cells it never saw.
func TestBuiltinPolicyKeepsItsCard(t *testing.T) {
	table := needTable(t)
	g, err := transformer.Builtin(transformer.DefaultPolicy)
	if err != nil {
		t.Fatal(err)
	}
	var scores heldOut
	for w := range scores {
		if scores[w], err = Evaluate(t.Context(), g, table, &Writings[w], table.Split().HeldOut, g.Card().Seed); err != nil {
			t.Fatal(err)
		}
	}
	for d, e := range scores[0] {
		// A hand-written rule captures 70, 63 and 57 % of all cells' headroom.
		if floor := [Datasets]float64{85, 80, 75}[d]; e.Max.Captured < floor || e.Sampled.Captured < floor {
			t.Errorf("%v: captured %.2f %% and, sampled, %.2f %%, want at least %v", e.Dataset, e.Max.Captured, e.Sampled.Captured, floor)
		}
	}
	for _, s := range cardScores(scores, nil) {
		if (strings.HasSuffix(s.Name, "most probable transformation") || strings.HasSuffix(s.Name, "of their own")) && !slices.Contains(g.Card().Scores, s) {
			t.Errorf("measured %+v, which the card does not say", s)
		}
	}
}

// The whole training, minutes long: NATONNX_LONG=1 go test -run TestBuiltinPolicyIsReproduced -timeout 60m ./train
func TestBuiltinPolicyIsReproduced(t *testing.T) {
	if os.Getenv("NATONNX_LONG") == "" {
		t.Skip("trains for minutes; set NATONNX_LONG=1")
	}
	built, err := transformer.Builtin(transformer.DefaultPolicy)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Policy(t.Context(), PolicyOptions{Data: corpus.Need(t, "nas", tableFile), Seed: built.Card().Seed})
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("..", "transformer", "policies", transformer.DefaultPolicy+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("training again gave another file than the embedded one")
	}
}
