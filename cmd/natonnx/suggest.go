package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func unknownVerb(line *commandLine, level []*cli.Command, found string) error {
	var names []string
	for _, c := range level {
		names = append(names, c.Name)
	}
	err := usagef("there is no command %q", strings.TrimSpace(line.verbs()+" "+found))
	if strings.HasSuffix(strings.ToLower(found), ".onnx") {
		err.hint = fmt.Sprintf("did you mean %s inspect %s?", line.name(), found)
	} else if s := nearest(found, names); s != "" {
		err.hint = fmt.Sprintf("did you mean %s %s?", line.name(), s)
	} else {
		err.hint = "the commands are: " + strings.Join(names, ", ")
	}
	return err
}

func unknownFlag(line *commandLine, token string) error {
	c := line.command()
	if c == nil {
		return &usageError{"there is no flag " + token, line.name() + " --help tells more"}
	}
	err := usagef("%s has no flag %s", line.verbs(), token)
	err.hint = fmt.Sprintf("%s --help lists the flags", line.name())
	var names []string
	for _, f := range c.Flags {
		names = append(names, f.Names()...)
	}
	if s := nearest(strings.TrimLeft(token, "-"), names); s != "" {
		err.hint = fmt.Sprintf("did you mean %s?", dashed(s))
	}
	return err
}

// dashed writes a flag's name as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// nearest returns the name that looks most like a typo's intent, or "".
func nearest(typo string, names []string) string {
	best, least := "", max(1, len(typo)/3)+1
	for _, name := range names {
		if len(name) == 1 {
			continue
		}
		d := editDistance(strings.ToLower(typo), name)
		if strings.HasPrefix(name, typo) || len(name) > 3 && strings.HasPrefix(typo, name) {
			d = min(d, 1)
		}
		if d < least {
			best, least = name, d
		}
	}
	return best
}

// editDistance counts insertions, deletions, substitutions and swaps of
// neighbours that lead from a to b.
func editDistance(a, b string) int {
	prev, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range b {
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+differ(a[i], b[j]))
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], prev[j-1]+1)
			}
		}
		prev, row = row, next
	}
	return row[len(b)]
}

func differ(a, b byte) int {
	if a == b {
		return 0
	}
	return 1
}
