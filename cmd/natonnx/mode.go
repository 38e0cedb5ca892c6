package main

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"
)

// A mode is which of its two jobs optimize or plan does, and why.
type mode struct {
	compress bool
	why      string
}

func modeFlag() cli.Flag {
	return choiceFlag("mode", "auto", "`MODE`: compress (a cheaper network that still works, from pictures; optimize and plan have it), redesign (a better architecture, to be fine-tuned), or auto: compress where --data are given, else redesign", "auto", "redesign", "compress")
}

// readMode finds the mode, and refuses flags that make no sense in it.
func readMode(c *cli.Context) (m mode, err error) {
	data := c.String("data") != ""
	if !data && c.IsSet("data") {
		return m, usagef("--data: the name is empty")
	}
	switch asked := choiceOf(c, "mode"); {
	case asked == "compress" && !hasFlag(c, "data"):
		return m, &usageError{"--mode compress: " + c.Command.Name + " knows redesigns only", "natonnx optimize compresses, and natonnx plan shows what it would do"}
	case asked == "compress" && !data:
		return m, &usageError{"--mode compress: there is no --data", "name pictures such as the network is made for, a few hundred or more, with labels or without; --mode redesign needs none"}
	case asked != "auto":
		m = mode{asked == "compress", "as asked"}
	case data:
		m = mode{true, "as data are given"}
	default:
		m = mode{false, "as no data are given"}
	}
	return m, m.refuseForeign(c)
}

// refuseForeign refuses the flags of the other mode.
func (m mode) refuseForeign(c *cli.Context) error {
	foreign, name, hint := redesignFlags(), "redesign", "leave it out, or add --mode redesign"
	if !m.compress {
		foreign, name, hint = append(compressFlags(), compareFlag()), "compress", "add --data with pictures such as the network is made for"
		if c.Command.Name == "plan" { // a redesign is planned without running anything
			foreign = slices.Concat(foreign, dataFlags(), runFlags())
		}
		if choiceOf(c, "mode") == "redesign" {
			hint = "leave it out, or ask for --mode compress"
		}
	}
	for _, f := range foreign {
		if flag := f.Names()[0]; c.IsSet(flag) && hasFlag(c, flag) {
			return &usageError{fmt.Sprintf("--%s belongs to the mode %s, and this is %s, %s", flag, name, m, m.why), hint}
		}
	}
	return nil
}

func (m mode) String() string {
	if m.compress {
		return "compress"
	}
	return "redesign"
}

// redesignFlags are those that compress has no use for.
func redesignFlags() []cli.Flag {
	shared := []string{"mode", "max-madds", "max-params", "seed"}
	return append(slices.DeleteFunc(decisionFlags(), func(f cli.Flag) bool { return slices.Contains(shared, f.Names()[0]) }), driftFlag())
}

// hasFlag reports whether the command that runs has a flag.
func hasFlag(c *cli.Context, name string) bool {
	return slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return f.Names()[0] == name })
}
