package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Documents are read as encoding/json reads them, but for their depth.
func FuzzReadDocument(f *testing.F) {
	for _, seed := range []string{"", "null", `{"a": [1, {"b": "\u0000"}], "a": 2}`, "[1 2]", "[1]]", `{"a"`, "1e999", `"\ud800"`, "[true,", "{1:2}", "\xff", strings.Repeat("[", 40)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := readDocument(text)
		if (err == nil) != json.Valid([]byte(text)) && !strings.Contains(err.Error(), "nested deeper") {
			t.Fatalf("%q: %v, valid: %v", text, err, json.Valid([]byte(text)))
		}
		if err != nil {
			return
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if want, got := decoded(t, []byte(text)), decoded(t, again); !reflect.DeepEqual(want, got) {
			t.Fatalf("%q became %s", text, again)
		}
	})
}

func decoded(t *testing.T, text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// explained runs explain on a model with the given notes.
func explained(t *testing.T, path string, notes []onnxgraph.Property, args ...string) string {
	t.Helper()
	m, err := fixtures.Build("resnet14", fixtures.Options{Width: 0.125})
	must(t, err)
	m, err = m.Apply(&onnxgraph.Patch{Rule: "test", Metadata: notes})
	must(t, err)
	must(t, m.Save(t.Context(), path))
	var out bytes.Buffer
	tool := newTool()
	tool.out, tool.log = bufio.NewWriter(&out), io.Discard
	must(t, tool.do(t.Context(), append([]string{"explain", path}, args...)))
	must(t, tool.out.Flush())
	return out.String()
}

// Whatever strangers note, a terminal can show it, and it is not endless.
func TestHostileNotes(t *testing.T) {
	const evil = "\x1b[2J\x07\r\u202e\u0000<b>\u2028"
	long := strings.Repeat("long", 50_000)
	encodedEvil, err := json.Marshal(evil)
	must(t, err)
	text := string(encodedEvil)
	var many strings.Builder
	for i := range 5000 {
		many.WriteString(`,{"cell": "c` + strings.Repeat("x", i%50) + `", "node": -1, "slot": 9, "from": ` + text + `, "to": "null"}`)
	}
	notes := map[string]string{
		"version": evil, "mode": evil, "retrain": long, evil: evil, long: "", "seed": long, "": "nothing",
		"moves":    "[" + many.String()[1:] + "]",
		"recovery": "[" + strings.Repeat(text+",", 5000) + "1]",
		"data":     `{` + text + `: ` + text + `, "long": "` + long + `", "before": {}, "after": {}}`,
		"measures": `{"before": {` + text + `: 1e999, "n": -1}, "after": {"n": [{}, null, true], "share": {"share": 1, "low": 1, "high": 1, "count": 1.5, "of": 1}}}`,
	}
	var list []onnxgraph.Property
	for key, value := range notes {
		list = append(list, onnxgraph.Property{Key: stampPrefix + key, Value: value})
	}
	path := filepath.Join(t.TempDir(), "evil.onnx")
	got := explained(t, path, list)
	for _, r := range got {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("the text holds %q", r)
		}
	}
	if len(got) > 200_000 {
		t.Errorf("the text has %d bytes", len(got))
	}
	for _, want := range []string{"5000 moves in 50 cells", "-v shows all", "and 4951 more"} {
		if !strings.Contains(got, want) {
			t.Errorf("the text lacks %q: %s", want, got)
		}
	}
	document := explained(t, path, list, "--json")
	if err := follows(document, "explain-v1"); err != nil {
		t.Error(err)
	}
	var f struct {
		Stamp struct {
			Retrain string
			Moves   []any
		}
	}
	must(t, json.Unmarshal([]byte(document), &f))
	if f.Stamp.Retrain != long || len(f.Stamp.Moves) != 5000 {
		t.Error("the JSON is cut")
	}
	if all := explained(t, path, list, "-v"); !strings.Contains(all, long) {
		t.Error("-v does not show all")
	}
}

// Every result of optimize is made again from what it says, byte for byte.
func TestReplayOfRealNetworks(t *testing.T) {
	if testing.Short() {
		t.Skip("rewrites many networks")
	}
	done := 0
	for _, path := range corpus.Models(t) {
		dir := t.TempDir()
		out := filepath.Join(dir, "out.onnx")
		run := func(args ...string) (string, error) {
			var b bytes.Buffer
			tool := newTool()
			tool.out, tool.log = bufio.NewWriter(&b), io.Discard
			err := tool.do(t.Context(), args)
			tool.out.Flush()
			return b.String(), err
		}
		for _, flags := range [][]string{{}, {"--per", "cell", "--seed", "3"}, {"--skip-init", "identity", "--max-madds", "90%"}} {
			if _, err := run(append([]string{"optimize", path, "-o", out, "-q", "--drift", "off"}, flags...)...); err != nil {
				continue // invalid, or no bound can be kept
			}
			if m, err := onnxgraph.Open(out); err != nil || stampOf(m).get("mode") != "redesign" {
				continue // nothing was to be done
			}
			got, err := run("replay", path, "--from", out)
			if err != nil || !strings.Contains(got, "byte for byte") && !strings.Contains(got, "compared by content") {
				t.Errorf("%s %v: %v\n%s", path, flags, err, got)
			}
			done++
		}
	}
	t.Logf("%d results", done)
	if done == 0 {
		t.Error("nothing was rewritten")
	}
}
