package main

import (
	"fmt"
	"strings"

	"github.com/natonnx/natonnx/internal/typo"
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
	} else if s := typo.Nearest(found, names); s != "" {
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
	if s := typo.Nearest(strings.TrimLeft(token, "-"), names); s != "" {
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
