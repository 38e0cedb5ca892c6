package batch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// hostile is the report of a batch whose models have names to beware of.
func hostile(t *testing.T) *Report {
	z := newZoo(t, map[string]string{"=1+1.onnx": "a", "<script>alert(1)<!--.onnx": "b", "fine.onnx": "c"})
	z.instead = func(_ context.Context, item Item, dir string) (Outcome, error) {
		if item.Name == "fine.onnx" {
			cells, moves, drift := 3, 0, 0.25
			_, err := z.shout(item, dir)
			return Outcome{Status: Done, Before: &Cost{1000, 2_000_000}, After: &Cost{900, 1_000_000}, Cells: &cells, Moves: &moves, Drift: &drift}, err
		}
		return Outcome{}, errors.New(`-2+3 </td><img src="http://example.com/x.png">`)
	}
	rep, err := z.try()
	if err != nil {
		t.Fatal(err)
	}
	rep.Version = "1.2.3"
	return rep
}

func TestReportJSON(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/schema/batch-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	var b bytes.Buffer
	if err := hostile(t).JSON(&b); err != nil {
		t.Fatal(err)
	}
	if err := valid(b.String()); err != nil {
		t.Errorf("%v\n%s", err, b.String())
	}
	for _, change := range [][2]string{{`"status": "failed"`, `"status": "fine"`}, {`"models": 3`, `"models": -3`}, {`"cells": 3`, `"cell": 3`}, {`"shard": "1/1"`, `"shard": "0/0"`}} {
		text := strings.Replace(b.String(), change[0], change[1], 1)
		if text == b.String() || valid(text) == nil {
			t.Errorf("the schema lets %s pass", change[1])
		}
	}
}

func TestReportCSV(t *testing.T) {
	var b bytes.Buffer
	if err := hostile(t).CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatal(rows, err)
	}
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	for _, row := range rows[1:] {
		for i, cell := range row {
			if strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "-") {
				t.Errorf("%s is the formula %s", rows[0][i], cell)
			}
		}
	}
	fine := rows[3]
	for name, want := range map[string]string{"name": "fine.onnx", "status": "done", "params_before": "1000", "params_after": "900", "multiply_adds_after": "1000000",
		"cells": "3", "moves": "0", "drift": "0.25", "exit_code": "0", "input_sha256": digestOf("c"), "output": "fine.onnx", "output_sha256": digestOf("Cv1"), "output_bytes": "3"} {
		if fine[at[name]] != want {
			t.Errorf("%s is %q, want %q", name, fine[at[name]], want)
		}
	}
}

// The page asks nobody for anything, and shows names as they are.
func TestReportHTML(t *testing.T) {
	var b bytes.Buffer
	if err := hostile(t).HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"&lt;script&gt;alert(1)&lt;!--.onnx", "failed 2", "done 1", ">3</td>", "0.25", "1.2.3", "-50.0 %", digestOf("Cv1")} {
		if !strings.Contains(strings.ReplaceAll(page, "&#43;", "+"), want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	if found := regexp.MustCompile(`(?i)<img|<link|<script[^>]+src|@import|url\(|<script>alert`).FindAllString(page, -1); len(found) > 0 {
		t.Errorf("the page has %q", found)
	}
	if n := strings.Count(page, `<tr class="is-`); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

func TestInputsOfOneDigest(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "text"})
	in, err := readInput(context.Background(), filepath.Join(z.in, "a.onnx"))
	if err != nil || in.Digest != digestOf("text") || in.Bytes != 4 || in.Model != nil {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := readInput(context.Background(), z.in); err == nil {
		t.Error("a folder has a digest")
	}
}
