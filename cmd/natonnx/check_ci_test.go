//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/fleet/check"
	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

const root = "../.."

// An action is as much of action.yml as GitHub runs.
type action struct {
	Name, Description string
	Inputs            map[string]struct{ Description, Default string }
	Runs              struct {
		Using string
		Steps []struct {
			Name, If, Uses, Shell, Run string
			Env                        map[string]string
		}
	}
}

func parsed[T any](t *testing.T, name string) (v T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// flagsExist asserts that check has the flags that a command line names.
func flagsExist(t *testing.T, line string) {
	t.Helper()
	c := newTool().checkCommand()
	for _, flag := range regexp.MustCompile(`(^|\s)--?([a-z][a-z-]*)`).FindAllStringSubmatch(line, -1) {
		if !has(c, &cli.BoolFlag{Name: flag[2]}) {
			t.Errorf("%q: check has no flag %s", line, flag[2])
		}
	}
}

// The action's last step, run as GitHub would: with bash, the inputs in its
// environment.
func TestAction(t *testing.T) {
	a := parsed[action](t, "action.yml")
	if a.Runs.Using != "composite" || a.Description == "" {
		t.Errorf("the action is %+v", a)
	}
	for _, step := range a.Runs.Steps {
		if step.Run != "" && (step.Shell != "bash" || strings.Contains(step.Run, "${{")) {
			t.Errorf("%s: want the shell bash, and inputs from its environment", step.Name)
		}
		for _, value := range step.Env {
			for _, input := range regexp.MustCompile(`inputs\.([a-z-]+)`).FindAllStringSubmatch(value, -1) {
				if _, ok := a.Inputs[input[1]]; !ok {
					t.Errorf("%s: there is no input %s", step.Name, input[1])
				}
			}
		}
		if bash, err := exec.LookPath("bash"); err == nil && step.Run != "" {
			if out, err := exec.Command(bash, "-n", "-c", step.Run).CombinedOutput(); err != nil {
				t.Errorf("%s: %s", step.Name, out)
			}
		}
	}
	last := a.Runs.Steps[len(a.Runs.Steps)-1]
	_, line, _ := strings.Cut(last.Run, "natonnx/natonnx\" check")
	flagsExist(t, strings.Split(line, "$NATONNX_ARGS")[0])
	flagsExist(t, a.Inputs["args"].Description)

	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "temp", "natonnx"), 0o777))
	must(os.Symlink(program(t).Path, filepath.Join(dir, "temp", "natonnx", "natonnx")))
	m, err := fixtures.Build("resnet14", fixtures.Options{Width: 0.5})
	must(err)
	must(m.Save(t.Context(), filepath.Join(dir, "a b.onnx")))
	must(m.Save(t.Context(), filepath.Join(dir, "c.onnx")))
	for _, test := range []struct {
		args string
		want int
	}{{"", 0}, {"--max-params 1k --disable NAT022", 5}} {
		step := exec.Command(bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", last.Run)
		step.Dir = dir
		summary := filepath.Join(t.TempDir(), "summary.md")
		step.Env = append(os.Environ(), "RUNNER_TEMP="+filepath.Join(dir, "temp"), "GITHUB_STEP_SUMMARY="+summary,
			"NATONNX_PATHS=a b.onnx\nc.*\n", "NATONNX_ARGS="+test.args)
		var out bytes.Buffer
		step.Stdout, step.Stderr = &out, &out
		step.Run()
		if code := step.ProcessState.ExitCode(); code != test.want {
			t.Errorf("%q: exit code %d, want %d:\n%s", test.args, code, test.want, &out)
		}
		if n := strings.Count(out.String(), "::error "); n != 2 && test.want != 0 {
			t.Errorf("%q: %d annotations, want one for each of 2 models:\n%s", test.args, n, &out)
		}
		if text, err := os.ReadFile(summary); err != nil || !strings.Contains(string(text), "2 models") {
			t.Errorf("the summary is %s, %v", text, err)
		}
	}
}

func TestPreCommitHook(t *testing.T) {
	hooks := parsed[[]struct{ ID, Name, Description, Entry, Language, Files string }](t, ".pre-commit-hooks.yaml")
	if len(hooks) != 1 {
		t.Fatalf("%d hooks", len(hooks))
	}
	h := hooks[0]
	words := strings.Fields(h.Entry)
	if len(words) < 2 || words[0] != "natonnx" || words[1] != "check" || h.Language != "golang" || h.ID == "" {
		t.Errorf("the hook is %+v", h)
	}
	flagsExist(t, strings.Join(words[2:], " "))
	files := regexp.MustCompile(h.Files)
	if !files.MatchString("a/b.onnx") || files.MatchString("a/b.onnx.data") {
		t.Errorf("files is %s", h.Files)
	}
}

// The README's configuration is one, and its workflow uses the action with
// flags that there are.
func TestReadmeInCI(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	var config, workflow string
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		switch {
		case strings.Contains(block[1], "# natonnx.yaml"):
			config = block[1]
		case strings.Contains(block[1], "natonnx/natonnx@"):
			workflow = block[1]
		}
	}
	c, err := check.ParseConfig("natonnx.yaml", []byte(config))
	if err != nil || len(c.Settings) == 0 || len(c.Overrides) == 0 {
		t.Errorf("the README's natonnx.yaml: %+v, %v", c, err)
	}
	type step struct {
		Uses string
		With map[string]string
	}
	var w struct {
		Jobs map[string]struct{ Steps []step }
	}
	if err := yaml.Unmarshal([]byte(workflow), &w); err != nil {
		t.Fatal(err)
	}
	inputs, used := parsed[action](t, "action.yml").Inputs, false
	for _, job := range w.Jobs {
		for _, s := range job.Steps {
			if !strings.HasPrefix(s.Uses, "natonnx/natonnx@") {
				continue
			}
			used = true
			flagsExist(t, s.With["args"])
			for name := range s.With {
				if _, ok := inputs[name]; !ok {
					t.Errorf("the action has no input %s", name)
				}
			}
		}
	}
	if !used {
		t.Error("the README's workflow does not use the action")
	}
}
