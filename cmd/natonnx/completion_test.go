//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completer is a folder with the shells' scripts in it, and a model.
func completer(t *testing.T, shell string) string {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skip("needs ", shell)
	}
	dir := t.TempDir()
	script, err := program(t, "completion", shell).Output()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "natonnx."+shell), script, 0o666))
	must(t, os.WriteFile(filepath.Join(dir, "model.onnx"), nil, 0o666))
	return dir
}

// said runs a shell there and returns the lines that it prints.
func said(t *testing.T, dir, shell string, args ...string) []string {
	t.Helper()
	c := exec.Command(shell, args...)
	c.Dir, c.Env = dir, append(os.Environ(), "HOME="+dir)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v", c.Args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// Both scripts that list what can follow list every verb and every flag.
func TestCompletionKnowsEverything(t *testing.T) {
	bash := func(t *testing.T, dir string, words ...string) []string {
		ask := `source ./natonnx.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _natonnx; printf '%s\n' "${COMPREPLY[@]}"`
		return said(t, dir, "bash", append([]string{"-c", ask, "bash", "natonnx"}, words...)...)
	}
	fish := func(t *testing.T, dir string, words ...string) []string {
		lines := said(t, dir, "fish", "-c", "source natonnx.fish; complete -C '"+strings.Join(append([]string{"natonnx"}, words...), " ")+"'")
		for i, line := range lines {
			lines[i], _, _ = strings.Cut(line, "\t")
		}
		return lines
	}
	for shell, complete := range map[string]func(*testing.T, string, ...string) []string{"bash": bash, "fish": fish} {
		t.Run(shell, func(t *testing.T) {
			dir := completer(t, shell)
			for _, l := range newTool().leaves() {
				path := strings.Fields(l.path)
				if len(l.verbs) > 0 {
					if got := complete(t, dir, append(path, "")...); !containsAll(got, l.verbs) {
						t.Errorf("after %q: %v, want %v", l.path, got, l.verbs)
					}
					continue
				}
				var flags []string
				for _, f := range l.c.Flags {
					flags = append(flags, "--"+f.Names()[0])
				}
				if got := complete(t, dir, append(path, "--")...); !containsAll(got, flags) {
					t.Errorf("after %q: %v, want %v", l.path, got, flags)
				}
			}
		})
	}
}

func containsAll(list, want []string) bool {
	return !slices.ContainsFunc(want, func(s string) bool { return !slices.Contains(list, s) })
}

// zsh is asked as people ask it, at a terminal, since its completion lives there.
func TestCompletionInZsh(t *testing.T) {
	dir := completer(t, "zsh")
	const ask = `zmodload zsh/zpty
zpty z 'zsh -f -i'
zpty -w z 'stty -echo; PS1=""; autoload -U compinit; compinit -D -u; source ./natonnx.zsh; setopt no_list_beep'
zpty -w z 'tell() { print -r -- "$BUFFER" > answer; zle kill-buffer }; zle -N tell; bindkey "^X" tell; bindkey "^I" complete-word; : > ready'
wait-for() { for i in {1..100}; do [[ -e $1 ]] && return; sleep 0.1; done }
wait-for ready
for line in "$@"; do
  rm -f answer
  zpty -w -n z "$line"$'\t\x18'
  wait-for answer
  sleep 0.1
  cat answer
done
zpty -d z`
	lines := [][2]string{
		{"natonnx opt", "natonnx optimize "},
		{"natonnx policy s", "natonnx policy show "},
		{"natonnx optimize --max-m", "natonnx optimize --max-madds "},
		{"natonnx optimize --mode r", "natonnx optimize --mode redesign "},
		{"natonnx optimize --mode=r", "natonnx optimize --mode=redesign "},
		{"natonnx inspect mod", "natonnx inspect model.onnx "},
	}
	args := []string{"-f", "-c", ask, "zsh"}
	for _, l := range lines {
		args = append(args, l[0])
	}
	got := said(t, dir, "zsh", args...)
	for i, l := range lines {
		if i >= len(got) || strings.TrimSpace(got[i]) != strings.TrimSpace(l[1]) {
			t.Errorf("%q becomes %q, want %q", l[0], got[min(i, len(got)-1)], l[1])
		}
	}
}
