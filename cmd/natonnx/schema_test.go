package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemas = "../../docs/schema"

// schemaOf reads a published schema, once.
func schemaOf(name string) (*jsonschema.Schema, error) {
	compile, _ := compiled.LoadOrStore(name, sync.OnceValues(func() (*jsonschema.Schema, error) {
		return jsonschema.NewCompiler().Compile(filepath.Join(schemas, name+".json"))
	}))
	return compile.(func() (*jsonschema.Schema, error))()
}

var compiled sync.Map

// follows reports how a document departs from a schema.
func follows(document, name string) error {
	s, err := schemaOf(name)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// followsSchema is the script command schema FILE NAME: FILE is a document of
// the schema docs/schema/NAME.json.
func followsSchema(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: schema FILE NAME")
	}
	if err := follows(ts.ReadFile(args[0]), args[1]); (err != nil) != neg {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

// Every published schema is held against documents, and is named in the folder's
// README.
func TestSchemasAreUsed(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(schemas, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	list, err := filepath.Glob(filepath.Join(schemas, "*.json"))
	if err != nil || len(list) < 10 {
		t.Fatalf("%d schemas, %v", len(list), err)
	}
	for _, path := range list {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if !strings.Contains(string(readme), "("+name+".json)") {
			t.Errorf("docs/schema/README.md does not name %s", name)
		}
		if used := "\nschema stdout " + name + "\n"; name != "common-v1" && !strings.Contains(all.String(), used) {
			t.Errorf("no script has a document of %s", name)
		}
	}
}

// What is said of strangers' models follows the schemas too.
func TestSchemasOnModels(t *testing.T) {
	if testing.Short() {
		t.Skip("opens a thousand models")
	}
	hold := func(t *testing.T, schema string, args ...string) {
		var out bytes.Buffer
		tool := newTool()
		tool.out, tool.log = bufio.NewWriter(&out), io.Discard
		err := tool.do(t.Context(), args)
		tool.out.Flush()
		if code := exitCode(err); code != exitDone && code != exitModel {
			t.Errorf("%q: %v", args, err)
		} else if err := follows(out.String(), schema); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	t.Run("inspect", func(t *testing.T) {
		for _, path := range corpus.Conformance(t) {
			hold(t, "inspect-v1", "inspect", path, "--json", "-v")
		}
	})
	t.Run("plan", func(t *testing.T) {
		for _, path := range corpus.Models(t) {
			if m, err := onnxgraph.Open(path); err == nil && m.Validate() == nil {
				hold(t, "decision-v1", "plan", path, "--json", "--samples", "1")
			}
		}
	})
}
