package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// A commandLine is the arguments, taken apart.
type commandLine struct {
	path []*cli.Command // the verb and the verb below it; empty for none
	help bool           // --help was asked for
	args []string       // what urfave/cli gets to parse
}

// command returns the verb that is meant, or nil where there is none.
func (l *commandLine) command() *cli.Command {
	if len(l.path) == 0 {
		return nil
	}
	return l.path[len(l.path)-1]
}

// verbs are the words that lead to the verb: "policy show".
func (l *commandLine) verbs() string {
	var words []string
	for _, c := range l.path {
		words = append(words, c.Name)
	}
	return strings.Join(words, " ")
}

// name is the verbs with the program's name in front.
func (l *commandLine) name() string { return strings.TrimSpace("natonnx " + l.verbs()) }

// A given is a flag as it was found among the arguments.
type given struct {
	token string // as it was written
	flag  cli.Flag
	value string
	set   bool // whether there is a value
}

// arrange puts flags before positional arguments, where urfave/cli wants them:
// it stops reading flags at the first positional. Users may write both in any
// order, and flags even before the verb. It also finds out what urfave/cli
// would only report together with a page of help.
func arrange(verbs []*cli.Command, args []string) (*commandLine, error) {
	flags, positional, err := split(verbs, args)
	if err != nil {
		return nil, err
	}
	line := &commandLine{}
	if len(positional) > 0 && positional[0] == "help" {
		line.help, positional = true, positional[1:]
	}
	for level := verbs; len(level) > 0 && len(positional) > 0; level = line.command().Subcommands {
		c := named(level, positional[0])
		if c == nil {
			return line, unknownVerb(line, level, positional[0])
		}
		line.path, positional = append(line.path, c), positional[1:]
	}
	for _, c := range line.path {
		line.args = append(line.args, c.Name)
	}
	for _, f := range flags {
		switch name := strings.TrimLeft(f.token, "-"); {
		case name == "h" || name == "help":
			line.help = true
			continue
		case name == "version" && len(line.path) == 0:
			line.path = []*cli.Command{named(verbs, "version")}
			line.args = []string{"version"}
			continue
		}
		if line.help {
			continue
		}
		if f.flag == nil || !has(line.command(), f.flag) {
			return line, unknownFlag(line, f.token)
		}
		arg := "--" + f.flag.Names()[0]
		if f.set {
			arg += "=" + f.value
		}
		line.args = append(line.args, arg)
	}
	line.args = append(append(line.args, "--"), positional...)
	return line, nil
}

// split sorts the arguments into flags and positionals. Whether a flag takes a
// value is known before the verb is: flags of one name are alike in all verbs.
func split(verbs []*cli.Command, args []string) (flags []given, positional []string, err error) {
	known := map[string]cli.Flag{}
	eachCommand(verbs, func(c *cli.Command) {
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				known[name] = f
			}
		}
	})
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return flags, append(positional, args...), nil
		}
		if arg == "-" || !strings.HasPrefix(arg, "-") {
			positional = append(positional, arg)
			continue
		}
		if bundle := bundled(known, arg); bundle != nil {
			flags = append(flags, bundle...)
			continue
		}
		f := given{}
		f.token, f.value, f.set = strings.Cut(arg, "=")
		f.flag = known[strings.TrimLeft(f.token, "-")]
		if takesValue(f.flag) && !f.set {
			if len(args) == 0 {
				return nil, nil, usagef("%s needs a value", f.token)
			}
			if next, _, _ := strings.Cut(args[0], "="); len(next) > 1 && next[0] == '-' && known[strings.TrimLeft(next, "-")] != nil {
				return nil, nil, &usageError{fmt.Sprintf("%s needs a value, found the flag %s", f.token, next),
					fmt.Sprintf("write %s=%s if that is the value", f.token, args[0])}
			}
			f.value, f.set, args = args[0], true, args[1:]
		}
		flags = append(flags, f)
	}
	return flags, positional, nil
}

// bundled takes apart one-letter flags in one argument, such as -qv; nil where
// arg is none.
func bundled(known map[string]cli.Flag, arg string) (flags []given) {
	letters := strings.TrimPrefix(arg, "-")
	if len(letters) < 2 || letters[0] == '-' || known[letters] != nil {
		return nil
	}
	for _, letter := range letters {
		f := known[string(letter)]
		if f == nil || takesValue(f) {
			return nil
		}
		flags = append(flags, given{token: "-" + string(letter), flag: f})
	}
	return flags
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// has reports whether flags of that name belong to the verb.
func has(c *cli.Command, f cli.Flag) bool {
	if c == nil {
		return false
	}
	for _, own := range c.Flags {
		if own.Names()[0] == f.Names()[0] {
			return true
		}
	}
	return false
}

func named(level []*cli.Command, name string) *cli.Command {
	for _, c := range level {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// eachCommand visits all verbs, those below others included.
func eachCommand(level []*cli.Command, visit func(*cli.Command)) {
	for _, c := range level {
		visit(c)
		eachCommand(c.Subcommands, visit)
	}
}
