package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/internal/typo"
	"github.com/natonnx/natonnx/transformer"
	"github.com/urfave/cli/v2"
)

func (t *tool) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script of a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: "bash: source <(natonnx completion bash). zsh: source <(natonnx completion zsh), after compinit. " +
			"fish: natonnx completion fish | source.",
		Action: t.completion,
	}
}

var shells = []string{"bash", "zsh", "fish"}

func (t *tool) completion(c *cli.Context) error {
	args, err := arguments(c, 1)
	if err != nil {
		return err
	}
	if t.json {
		return usagef("completion prints a script, which has no JSON form")
	}
	switch args[0] {
	case "bash":
		t.bash()
	case "zsh":
		// zsh understands bash's way through its own compatibility layer.
		fmt.Fprintln(t.out, "autoload -U +X bashcompinit && bashcompinit")
		t.bash()
	case "fish":
		t.fish()
	default:
		err := usagef("there is no completion for the shell %q: want %s", args[0], oneOf(shells))
		if near := typo.Nearest(args[0], shells); near != "" {
			err.hint = "did you mean " + near + "?"
		}
		return err
	}
	return nil
}

// A leaf is a place in the tree of verbs where something can be completed.
type leaf struct {
	path  string // "optimize", "policy show", "" for the top
	verbs []string
	c     *cli.Command
}

func (t *tool) leaves() (list []leaf) {
	top := leaf{}
	for _, c := range t.verbs {
		top.verbs = append(top.verbs, c.Name)
	}
	list = append(list, top)
	for _, c := range t.verbs {
		l := leaf{path: c.Name, c: c}
		for _, sub := range c.Subcommands {
			l.verbs = append(l.verbs, sub.Name)
		}
		list = append(list, l)
		for _, sub := range c.Subcommands {
			list = append(list, leaf{path: c.Name + " " + sub.Name, c: sub})
		}
	}
	return list
}

// flagWords lists the flags of a verb as they are typed.
func flagWords(c *cli.Command) (words []string) {
	if c == nil || len(c.Subcommands) > 0 {
		return []string{"--help"}
	}
	for _, f := range c.Flags {
		for _, name := range f.Names() {
			words = append(words, dashed(name))
		}
	}
	return words
}

// values lists what may follow a flag; nil where that is anything.
func values(f cli.Flag) []string {
	if f.Names()[0] == "policy" {
		return append(transformer.Builtins(), noPolicy)
	}
	if g, ok := f.(*cli.GenericFlag); ok {
		if c, ok := g.Value.(*choice); ok {
			return c.among
		}
	}
	return nil
}

// paths are the names that usages give to values that are files or folders.
var paths = []string{"OUT", "FILE", "DIR", "DATA", "TABLE", "MODEL", "POLICY", "BASE"}

// takesPath reports whether a file or folder may follow a flag.
func takesPath(f cli.Flag) bool {
	name, _ := metavar(f.(cli.DocGenerationFlag).GetUsage())
	return takesValue(f) && slices.Contains(paths, name)
}

// operands lists what may follow a verb, beside files.
func operands(l leaf) []string {
	switch l.path {
	case "completion":
		return shells
	case "policy show":
		return transformer.Builtins()
	}
	return l.verbs
}

// takesFiles reports whether files may follow a verb.
func takesFiles(l leaf) bool {
	return len(l.verbs) == 0 && l.path != "completion" && l.path != "version" && l.path != "doctor" && l.path != "policy list"
}

func (t *tool) bash() {
	w := t.out
	io.WriteString(w, `_natonnx() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= words= flags= files= glue= i
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = ]]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  elif [[ $cur == --*=* ]]; then # zsh does not part them
    prev=${cur%%=*}
    cur=${cur#*=}
    glue=$prev=
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$verb ${COMP_WORDS[i]}" in
`)
	for _, l := range t.leaves() {
		for _, v := range l.verbs {
			fmt.Fprintf(w, "      %q) verb=%q ;;\n", l.path+" "+v, strings.TrimSpace(l.path+" "+v))
		}
	}
	io.WriteString(w, "    esac\n  done\n  case \"$verb\" in\n")
	for _, l := range t.leaves() {
		files := ""
		if takesFiles(l) {
			files = " files=yes"
		}
		fmt.Fprintf(w, "    %q) words=%q flags=%q%s ;;\n", l.path, strings.Join(operands(l), " "), strings.Join(flagWords(l.c), " "), files)
	}
	io.WriteString(w, "  esac\n  case \"$prev\" in\n")
	seen := map[string]bool{}
	eachCommand(t.verbs, func(c *cli.Command) {
		for _, f := range c.Flags {
			name := f.Names()[0]
			if !takesValue(f) || seen[name] {
				continue
			}
			seen[name] = true
			files := ""
			if takesPath(f) {
				files = "yes"
			}
			var spellings []string
			for _, n := range f.Names() {
				spellings = append(spellings, dashed(n))
			}
			fmt.Fprintf(w, "    %s) words=%q flags= files=%s ;;\n", strings.Join(spellings, "|"), strings.Join(values(f), " "), files)
		}
	})
	io.WriteString(w, `  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    return
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ $files ]]; then
    compopt -o filenames 2>/dev/null
    local IFS=$'\n'
    COMPREPLY+=($(compgen -d -- "$cur"; compgen -f -- "$cur" | grep -E '\.(onnx|csv|json|txt|yaml|yml|svg|dot|html|bin|npz|npy)$'))
  fi
  if [[ $glue ]]; then
    COMPREPLY=("${COMPREPLY[@]/#/$glue}")
  fi
}
complete -F _natonnx natonnx
`)
}

func (t *tool) fish() {
	w := t.out
	fmt.Fprint(w, `function __natonnx_path
  set -l path
  for word in (commandline -opc)[2..-1]
    switch "$path $word"
`)
	for _, l := range t.leaves() {
		for _, v := range l.verbs {
			fmt.Fprintf(w, "      case %s; set path %s\n", fishQuote(l.path+" "+v), fishQuote(strings.TrimSpace(l.path+" "+v)))
		}
	}
	fmt.Fprint(w, `    end
  end
  echo "$path"
end
complete -c natonnx -f
`)
	for _, l := range t.leaves() {
		at := fmt.Sprintf(`complete -c natonnx -n 'test (__natonnx_path) = %s'`, strings.ReplaceAll(fishQuote(l.path), "'", `"`))
		for _, v := range l.verbs {
			fmt.Fprintf(w, "%s -a %s -d %s\n", at, v, fishQuote(named(t.below(l), v).Usage))
		}
		if l.c == nil || len(l.c.Subcommands) > 0 {
			continue
		}
		if words := operands(l); len(words) > 0 {
			fmt.Fprintf(w, "%s -a %s\n", at, fishQuote(strings.Join(words, " ")))
		}
		if takesFiles(l) {
			fmt.Fprintf(w, "%s -a '(__fish_complete_suffix .onnx)'\n", at)
		}
		for _, f := range l.c.Flags {
			d := f.(cli.DocGenerationFlag)
			_, usage := metavar(d.GetUsage())
			line := fmt.Sprintf("%s -l %s", at, f.Names()[0])
			for _, alias := range f.Names()[1:] {
				line += " -s " + alias
			}
			switch {
			case takesPath(f):
				line += " -r -F"
			case d.TakesValue():
				line += " -x"
			}
			if words := values(f); words != nil {
				line += " -a " + fishQuote(strings.Join(words, " "))
			}
			fmt.Fprintf(w, "%s -d %s\n", line, fishQuote(usage))
		}
	}
}

// below returns the verbs that follow a leaf's path.
func (t *tool) below(l leaf) []*cli.Command {
	if l.c == nil {
		return t.verbs
	}
	return l.c.Subcommands
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
