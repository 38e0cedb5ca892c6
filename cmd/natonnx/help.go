package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

const about = "rewrites ONNX networks: it finds their blocks, adds skip connections and replaces operations by skip or " +
	"null connections as a trained policy decides, and writes a valid ONNX file back"

// help prints what the program or one of its verbs does.
func (t *tool) help(line *commandLine) {
	p := t.page()
	c := line.command()
	if c == nil {
		p.paragraph("natonnx " + about + ".")
		p.heading("usage: natonnx COMMAND [ARGUMENTS] [FLAGS]")
		p.verbs("", t.verbs)
		p.exits()
		p.heading("natonnx COMMAND --help tells more. A model named - is standard input or output.")
		return
	}
	p.text(0, "%s: %s", line.name(), c.Usage)
	p.heading("%s", usageLine(line.name(), c))
	for _, paragraph := range strings.Split(c.Description, "\n\n") {
		if paragraph != "" {
			p.blank()
			p.paragraph(paragraph)
		}
	}
	if len(c.Subcommands) > 0 {
		p.verbs(line.name()+" ", c.Subcommands)
		return
	}
	p.flags(c)
}

// usageLine is the one line that says how to call a verb.
func usageLine(name string, c *cli.Command) string {
	if len(c.Subcommands) > 0 {
		return "usage: " + name + " COMMAND"
	}
	return strings.Join(strings.Fields("usage: "+name+" "+c.ArgsUsage+" [FLAGS]"), " ")
}

// verbs lists commands and what they are for.
func (p *page) verbs(prefix string, list []*cli.Command) {
	p.heading("commands")
	var terms, meanings []string
	eachCommand(list, func(c *cli.Command) {
		if c.Action != nil {
			terms, meanings = append(terms, prefix+verbPath(list, c)), append(meanings, c.Usage)
		}
	})
	p.terms(terms, meanings)
}

// verbPath returns the words that lead from list to a verb.
func verbPath(list []*cli.Command, c *cli.Command) string {
	for _, top := range list {
		if top == c {
			return c.Name
		}
		for _, sub := range top.Subcommands {
			if sub == c {
				return top.Name + " " + c.Name
			}
		}
	}
	return c.Name
}

func (p *page) flags(c *cli.Command) {
	p.heading("flags")
	p.terms(flagTerms(c.Flags))
}

// flagTerms lists flags as they are typed, and what they mean.
func flagTerms(flags []cli.Flag) (terms, meanings []string) {
	for _, f := range flags {
		d := f.(cli.DocGenerationFlag)
		value, usage := metavar(d.GetUsage())
		term := "    "
		for _, alias := range f.Names()[1:] {
			term = "-" + alias + ", "
		}
		term += "--" + f.Names()[0]
		if d.TakesValue() {
			term += " " + value
			if v := d.GetValue(); v != "" {
				usage += " (default " + v + ")"
			}
		}
		terms, meanings = append(terms, term), append(meanings, usage)
	}
	return terms, meanings
}

// metavar finds the name of a flag's value, which its usage has in backquotes.
func metavar(usage string) (name, plain string) {
	before, rest, ok := strings.Cut(usage, "`")
	name, after, closed := strings.Cut(rest, "`")
	if !ok || !closed {
		return "VALUE", usage
	}
	return name, before + name + after
}

// exits lists the exit codes.
func (p *page) exits() {
	p.heading("exit codes")
	var codes, meanings []string
	for _, e := range exits {
		codes, meanings = append(codes, fmt.Sprintf("%3d", e.code)), append(meanings, e.meaning)
	}
	p.terms(codes, meanings)
}

// terms writes a list of terms and, beside or below them, what they mean.
func (p *page) terms(terms, meanings []string) {
	const indent = 2
	column := 0
	for _, s := range terms {
		column = max(column, columns(s))
	}
	column += indent + gap
	for i, term := range terms {
		if column > p.width/2 { // too narrow for two columns
			fmt.Fprintf(p.w, "  %s\n", term)
			p.text(6, "%s", meanings[i])
			continue
		}
		lines := wrap(meanings[i], p.width-column, p.width-column)
		fmt.Fprintf(p.w, "  %-*s%s\n", column-indent, term, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(p.w, "%*s%s\n", column, "", line)
		}
	}
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}
