package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestArrange(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"inspect a.onnx", "inspect -- a.onnx"},
		{"inspect a.onnx --json", "inspect --json -- a.onnx"},
		{"--json inspect a.onnx", "inspect --json -- a.onnx"},
		{"inspect -json a.onnx", "inspect --json -- a.onnx"},
		{"inspect -qv a.onnx", "inspect --quiet --verbose -- a.onnx"},
		{"inspect --quiet=false a.onnx", "inspect --quiet=false -- a.onnx"},
		{"optimize a.onnx -o b.onnx", "optimize --output=b.onnx -- a.onnx"},
		{"optimize -o=b.onnx a.onnx", "optimize --output=b.onnx -- a.onnx"},
		{"optimize a.onnx --output -", "optimize --output=- -- a.onnx"},
		{"-o b.onnx --seed 3 optimize a.onnx", "optimize --output=b.onnx --seed=3 -- a.onnx"},
		{"optimize --seed -5 a.onnx", "optimize --seed=-5 -- a.onnx"},
		{"optimize --max-madds=1.5G -", "optimize --max-madds=1.5G -- -"},
		{"optimize -o a=b.onnx c.onnx", "optimize --output=a=b.onnx -- c.onnx"},
		{"inspect -- --json", "inspect -- --json"},
		{"inspect -q -- a -b", "inspect --quiet -- a -b"},
		{"policy show mine.onnx --json", "policy show --json -- mine.onnx"},
		{"train -o x.onnx policy --data y.csv", "train policy --output=x.onnx --data=y.csv --"},
		{"--version", "version --"},
		{"", "--"},
	} {
		t.Run(test.in, func(t *testing.T) {
			line, err := arrange(newTool().verbs, strings.Fields(test.in))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(line.args, " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Whether a flag takes a value has to be known before the verb is.
func TestFlagsOfOneNameAreAlike(t *testing.T) {
	seen := map[string]cli.Flag{}
	eachCommand(newTool().verbs, func(c *cli.Command) {
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				if other := seen[name]; other != nil && (takesValue(f) != takesValue(other) || !slices.Equal(f.Names(), other.Names())) {
					t.Errorf("%s: flag %s is not what it is elsewhere", c.Name, name)
				}
				seen[name] = f
			}
		}
	})
}

// Every verb can be asked for help, has the common flags, and says what it is for.
func TestVerbsAreWhole(t *testing.T) {
	eachCommand(newTool().verbs, func(c *cli.Command) {
		if c.Usage == "" {
			t.Errorf("%s: no usage", c.Name)
		}
		if (c.Action == nil) == (len(c.Subcommands) == 0) {
			t.Errorf("%s: want either an action or verbs below it", c.Name)
		}
		for _, f := range commonFlags() {
			if c.Action != nil && !has(c, f) {
				t.Errorf("%s: no flag %s", c.Name, f.Names()[0])
			}
		}
		for _, f := range c.Flags {
			if f.(cli.DocGenerationFlag).GetUsage() == "" {
				t.Errorf("%s: flag %s says nothing", c.Name, f.Names()[0])
			}
		}
	})
}

func FuzzArrange(f *testing.F) {
	for _, s := range []string{"optimize\x00a.onnx\x00-o\x00b", "--json\x00inspect\x00-", "-qv", "help\x00policy\x00show", "--\x00-x", "train\x00policy\x00--seed=", "-=", "---\x00é"} {
		f.Add(s)
	}
	verbs := newTool().verbs
	f.Fuzz(func(t *testing.T, s string) {
		args := strings.Split(s, "\x00")
		line, err := arrange(verbs, args)
		if err != nil {
			if exitCode(err) != exitUsage {
				t.Fatalf("%q: %v is no usage error", args, err)
			}
			return
		}
		if !slices.Contains(line.args, "--") && !line.help {
			t.Fatalf("%q: positionals of %q could be taken for flags", args, line.args)
		}
	})
}
