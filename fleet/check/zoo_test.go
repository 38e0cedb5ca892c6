package check

import (
	"context"
	"testing"
	"time"

	"github.com/natonnx/natonnx/internal/corpus"
)

// Every real model at hand is checked, whatever it is: findings and skips, and
// no error.
func TestZoo(t *testing.T) {
	if testing.Short() {
		t.Skip("checks a thousand models")
	}
	paths := append(corpus.Conformance(t), corpus.Models(t)...)
	var files []File
	for _, p := range paths {
		files = append(files, File{Path: p})
	}
	began := time.Now()
	r, err := Run(context.Background(), files, Options{Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d models in %v: %+v", len(files), time.Since(began).Round(time.Millisecond), r.Counts)
	byRule, skips := map[string]int{}, map[string]int{}
	for _, x := range r.Results {
		for _, f := range x.Findings {
			byRule[f.Rule]++
			if f.Severity == Error {
				t.Logf("%s: %s %s: %s", x.Path, f.Rule, f.Where, f.Message)
			}
		}
		for _, s := range x.Skipped {
			skips[s.Rule]++
		}
	}
	t.Logf("findings by rule: %v; skipped: %v", byRule, skips)
}
