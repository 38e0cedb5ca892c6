// Package layering keeps the order of the packages that ARCHITECTURE.md states.
package layering

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/natonnx/natonnx"

// below lists, for each package, the packages of this module that it may
// import. A new package has to find its place here.
var below = map[string][]string{
	"onnxgraph":     {},
	"cellmap":       {"onnxgraph"},
	"cellmap/draw":  {"cellmap"},
	"cellmap/stack": {"cellmap", "onnxgraph"},

	"engine/cpu":            {},
	"engine/vec":            {"engine/cpu"},
	"engine/window":         {},
	"engine/conv":           {"engine/cpu", "engine/vec", "engine/window"},
	"engine/internal/slide": {"engine/cpu", "engine/window"},
	"engine/depthwise":      {"engine/internal/slide", "engine/cpu", "engine/window"},
	"engine/pool":           {"engine/internal/slide", "engine/cpu", "engine/window"},
	"engine":                {"onnxgraph", "engine/cpu", "engine/vec", "engine/conv", "engine/depthwise", "engine/pool", "engine/window"},
	"engine/learn":          {"engine", "engine/cpu", "engine/vec", "onnxgraph"},
	"engine/backend":        {"engine", "engine/cpu", "onnxgraph"},
	"engine/bench":          {"engine", "engine/learn", "onnxgraph"},

	"transformer":         {"cellmap", "engine", "onnxgraph"},
	"train/dataset":       {"onnxgraph", "engine"},
	"train/measure":       {"train/dataset", "engine", "engine/backend", "onnxgraph"},
	"train/search":        {},
	"train/augment":       {},
	"train/checkpoint":    {},
	"train/epochs":        {"train/augment", "train/dataset"},
	"train/trainable":     {"engine", "engine/vec", "onnxgraph"},
	"train/distill":       {"train/augment", "train/dataset", "train/trainable", "engine", "engine/learn", "engine/vec", "onnxgraph"},
	"train/fit":           {"train/augment", "train/checkpoint", "train/dataset", "train/epochs", "train/measure", "train/trainable", "cellmap/stack", "engine", "engine/learn", "onnxgraph"},
	"train":               {"train/checkpoint", "transformer", "cellmap", "engine/conv", "engine/cpu", "engine/vec", "onnxgraph", "internal/legible"},
	"train/supernet":      {"train", "train/augment", "train/checkpoint", "train/dataset", "train/epochs", "train/measure", "train/trainable", "transformer", "cellmap", "cellmap/stack", "engine", "engine/learn", "onnxgraph", "internal/plot"},
	"train/policybench":   {"train", "transformer", "cellmap", "onnxgraph", "internal/plot", "internal/legible"},
	"train/refit":         {"engine", "engine/conv", "engine/cpu", "onnxgraph"},
	"train/compress":      {"train/dataset", "train/distill", "train/measure", "train/refit", "train/search", "cellmap", "engine/backend", "onnxgraph"},
	"train/compress/page": {"train/compress", "train/measure", "internal/legible", "internal/plot"},
	"fleet/diff":          {"cellmap", "onnxgraph"},
	"fleet/diff/page":     {"fleet/diff", "internal/legible", "cellmap", "cellmap/draw"},
	"fleet/check":         {"internal/typo", "train/measure", "transformer", "cellmap", "engine", "onnxgraph"},
	"fleet/check/report":  {"fleet/check", "internal/legible"},
	"fleet/batch":         {"onnxgraph", "internal/legible"},
	"cmd/natonnx": {"train/fit", "train/supernet", "train/epochs", "train/augment", "cellmap/stack", "train/compress", "train/compress/page", "train/search", "fleet/diff", "fleet/diff/page", "fleet/batch", "train", "train/policybench", "train/dataset", "train/measure", "transformer", "cellmap", "cellmap/draw", "engine", "engine/cpu",
		"engine/backend", "onnxgraph", "fleet/check", "fleet/check/report", "internal/legible", "internal/typo"},

	"fixtures":          {"onnxgraph"},
	"fixtures/gen":      {"fixtures"},
	"internal/corpus":   {},
	"internal/legible":  {},
	"internal/plot":     {"internal/legible"},
	"internal/typo":     {},
	"internal/torch":    {"engine", "onnxgraph"},
	"internal/oracle":   {},
	"internal/layering": {},
}

// library is what others import: it never prints, logs or exits.
var library = []string{"onnxgraph", "cellmap", "cellmap/draw", "engine", "engine/cpu", "engine/vec", "engine/window", "engine/conv", "engine/depthwise",
	"engine/pool", "engine/learn", "engine/backend", "transformer", "train", "train/policybench", "train/dataset", "train/measure", "train/augment", "train/checkpoint", "train/epochs", "train/trainable", "train/fit", "train/supernet", "cellmap/stack", "train/distill", "train/search", "train/refit", "train/compress", "train/compress/page", "fleet/diff", "fleet/diff/page", "fleet/check", "fleet/check/report", "fleet/batch", "fixtures"}

func TestImportsRunDownwards(t *testing.T) {
	eachFile(t, func(pkg, path string, file *ast.File) {
		allowed, ok := below[pkg]
		if !ok {
			t.Errorf("package %s has no place in the layers: give it one in this test and in ARCHITECTURE.md", pkg)
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if rest, ours := strings.CutPrefix(name, module+"/"); ours && !slices.Contains(allowed, rest) {
				t.Errorf("%s imports %s, which is not below it", path, rest)
			}
		}
	})
}

func TestLibraryIsSilent(t *testing.T) {
	eachFile(t, func(pkg, path string, file *ast.File) {
		if !slices.Contains(library, pkg) {
			return
		}
		for _, spec := range file.Imports {
			if spec.Path.Value == `"log"` || spec.Path.Value == `"log/slog"` {
				t.Errorf("%s imports %s", path, spec.Path.Value)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && isLoud(s) {
				t.Errorf("%s uses %s.%s", path, s.X, s.Sel.Name)
			}
			if call, ok := n.(*ast.CallExpr); ok {
				if f, ok := call.Fun.(*ast.Ident); ok && slices.Contains([]string{"panic", "print", "println"}, f.Name) {
					t.Errorf("%s calls %s", path, f.Name)
				}
			}
			return true
		})
	})
}

// isLoud reports whether an expression prints or exits.
func isLoud(s *ast.SelectorExpr) bool {
	pkg, ok := s.X.(*ast.Ident)
	if !ok {
		return false
	}
	switch pkg.Name {
	case "os":
		return slices.Contains([]string{"Stdin", "Stdout", "Stderr", "Exit"}, s.Sel.Name)
	case "fmt":
		return strings.HasPrefix(s.Sel.Name, "Print")
	}
	return false
}

// eachFile visits the Go files of the module that are no tests.
func eachFile(t *testing.T, visit func(pkg, path string, file *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (name == "testdata" || strings.HasPrefix(name, ".") && name != "..") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); d.IsDir() && path != root && err == nil {
			return filepath.SkipDir // a module of its own
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		path, err = filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files++
		visit(filepath.ToSlash(filepath.Dir(path)), path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d files were looked at", files)
	}
}
