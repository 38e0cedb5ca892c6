//go:build unix

package main

import (
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
)

// A block is a fenced block of the cookbook: commands, or a file.
type block struct {
	line  int // of the cookbook
	shell bool
	exit  int      // that the commands end with
	file  string   // what the text is to be written to
	clone bool     // the commands run where the source is
	needs []string // programs that not every machine has
	text  string
}

// A recipe is a section of the cookbook. Its blocks run in one folder.
type recipe struct {
	title  string
	blocks []block
}

// Every command of the cookbook does what is said there. What follows the
// language of a block tells how: exit=CODE, file=NAME, in=clone, needs=PROGRAM.
func TestCookbook(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a policy, and builds the program")
	}
	text, err := os.ReadFile(filepath.Join(docs, "cookbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	recipes := readCookbook(t, string(text))
	if len(recipes) < 10 {
		t.Fatalf("%d recipes were found", len(recipes))
	}
	for _, r := range recipes {
		t.Run(r.title, func(t *testing.T) {
			t.Parallel()
			k := newKitchen(t)
			for _, b := range r.blocks {
				k.cook(t, b)
			}
		})
	}
}

// Every verb that does something to models is in the cookbook.
func TestCookbookKnowsAllVerbs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(docs, "cookbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range articles() {
		if !strings.Contains(string(text), a.name) {
			t.Errorf("the cookbook has no %s", a.name)
		}
	}
}

var fence = regexp.MustCompile("^```(\\S+)(.*)$")

func readCookbook(t *testing.T, text string) (recipes []recipe) {
	var b *block
	for i, line := range strings.Split(text, "\n") {
		switch found := fence.FindStringSubmatch(line); {
		case b != nil && line == "```":
			last := &recipes[len(recipes)-1]
			last.blocks = append(last.blocks, *b)
			b = nil
		case b != nil:
			b.text += line + "\n"
		case strings.HasPrefix(line, "## "):
			recipes = append(recipes, recipe{title: line[3:]})
		case found != nil && len(recipes) == 0:
			t.Fatalf("line %d: a block before the first recipe", i+1)
		case found != nil:
			b = &block{line: i + 1, shell: found[1] == "sh"}
			b.annotate(t, strings.Fields(found[2]))
		}
	}
	if b != nil {
		t.Fatalf("line %d: a block without end", b.line)
	}
	return recipes
}

func (b *block) annotate(t *testing.T, notes []string) {
	for _, note := range notes {
		key, value, _ := strings.Cut(note, "=")
		switch key {
		case "exit":
			var err error
			if b.exit, err = strconv.Atoi(value); err != nil {
				t.Fatalf("line %d: %v", b.line, err)
			}
		case "file":
			b.file = value
		case "in":
			b.clone = value == "clone"
		case "needs":
			b.needs = append(b.needs, value)
		default:
			t.Fatalf("line %d: unknown note %s", b.line, note)
		}
	}
	if !b.shell && b.file == "" {
		t.Fatalf("line %d: neither commands nor a file", b.line)
	}
}

// A kitchen is where a recipe is tried: a folder with the models and data that
// the cookbook speaks of, and natonnx on the path.
type kitchen struct {
	dir string
	env []string
}

func newKitchen(t *testing.T) *kitchen {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash")
	}
	dir, home := t.TempDir(), t.TempDir()
	k := &kitchen{dir: dir}
	bin := filepath.Join(home, "bin")
	must(t, os.Mkdir(bin, 0o777))
	must(t, os.Symlink(program(t).Path, filepath.Join(bin, "natonnx")))
	path := bin
	if python := os.Getenv("NATONNX_PYTHON"); python != "" {
		path += ":" + filepath.Dir(python)
	}
	k.env = append(os.Environ(), "HOME="+home, "PATH="+path+":"+os.Getenv("PATH"), "COLUMNS=80", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	for _, name := range []string{"GOCACHE", "GOPATH", "GOMODCACHE", "GOENV"} {
		out, err := exec.Command("go", "env", name).Output()
		must(t, err)
		k.env = append(k.env, name+"="+strings.TrimSpace(string(out)))
	}

	k.network(t, "model.onnx", "resnet14", fixtures.Options{Width: 0.5, Dialect: fixtures.Dialect{FoldBN: true}})
	k.network(t, "zoo/resnet14.onnx", "resnet14", fixtures.Options{Width: 0.5})
	k.network(t, "zoo/vision/resnet20.onnx", "resnet20", fixtures.Options{Width: 0.5})
	k.network(t, "zoo/vision/vgg11.onnx", "vgg11", fixtures.Options{Width: 0.125, Size: 32, Classes: 10})
	for i := range 60 {
		k.picture(t, filepath.Join("val", strconv.Itoa(i%10), strconv.Itoa(i)+".png"), uint64(i))
		k.picture(t, filepath.Join("photos", strconv.Itoa(i)+".png"), uint64(i))
	}
	must(t, os.WriteFile(filepath.Join(dir, "nasbench201.csv"), []byte(tableOf201()), 0o666))
	k.commit(t)
	return k
}

// commit makes the folder a clone whose branch is as its origin's, where there is git.
func (k *kitchen) commit(t *testing.T) {
	t.Helper()
	if k.has("git") {
		k.cook(t, block{text: "git init -q -b main; git add -A; git commit -q -m zoo; git update-ref refs/remotes/origin/main HEAD"})
	}
}

func (k *kitchen) network(t *testing.T, path, name string, o fixtures.Options) {
	t.Helper()
	m, err := fixtures.Build(name, o)
	must(t, err)
	path = filepath.Join(k.dir, path)
	must(t, os.MkdirAll(filepath.Dir(path), 0o777))
	must(t, m.Save(t.Context(), path))
}

// picture makes a PNG of noise.
func (k *kitchen) picture(t *testing.T, path string, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	img := image.NewRGBA(image.Rect(0, 0, 40, 32))
	for i := range 40 * 32 {
		img.Set(i%40, i/40, color.RGBA{uint8(r.UintN(256)), uint8(r.UintN(256)), uint8(r.UintN(256)), 255})
	}
	path = filepath.Join(k.dir, path)
	must(t, os.MkdirAll(filepath.Dir(path), 0o777))
	f, err := os.Create(path)
	must(t, err)
	must(t, png.Encode(f, img))
	must(t, f.Close())
}

// cook writes the file of a block, or runs its commands.
func (k *kitchen) cook(t *testing.T, b block) {
	t.Helper()
	if b.file != "" {
		path := filepath.Join(k.dir, b.file)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		must(t, os.WriteFile(path, []byte(b.text), 0o666))
		return
	}
	for _, name := range b.needs {
		if !k.has(name) {
			if os.Getenv("NATONNX_ORACLE") == "required" {
				t.Fatalf("line %d needs %s", b.line, name)
			}
			t.Skipf("line %d needs %s", b.line, name)
		}
	}
	c := exec.Command("bash", "-euo", "pipefail", "-c", b.text)
	c.Dir, c.Env = k.dir, k.env
	if b.clone {
		c.Dir = filepath.Join("..", "..")
	}
	out, _ := c.CombinedOutput()
	if code := c.ProcessState.ExitCode(); code != b.exit {
		t.Fatalf("line %d: exit code %d, want %d\n%s\n%s", b.line, code, b.exit, b.text, out)
	}
	t.Logf("%s\n%s", b.text, out)
}

// has reports whether the program is on the kitchen's path; onnxruntime is a
// package of Python.
func (k *kitchen) has(name string) bool {
	command := []string{"bash", "-c", "command -v " + name}
	if name == "onnxruntime" {
		command = []string{"bash", "-c", "python3 -c 'import onnxruntime'"}
	}
	c := exec.Command(command[0], command[1:]...)
	c.Env = slices.Clone(k.env)
	return c.Run() == nil
}
