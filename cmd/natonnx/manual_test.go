package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

const docs = "../../docs"

// dated is the day that manual pages bear: change it with a release.
const dated = "2026-11-22"

// environment lists the variables that the program reads.
var environment = [][2]string{
	{"NATONNX_CPU", "which instructions the engine uses: portable, avx2 or avx512, as far as the processor has them"},
	{"NATONNX_ONNXRUNTIME", "the shared library of ONNX Runtime, for builds with -tags ort"},
	{"NATONNX_TRACE", "1: an internal error is followed by the stack"},
	{"NO_COLOR", "anything: no colours"},
	{"COLUMNS", "how wide text is, where that is not to be the terminal's width"},
}

// An article is what the manual says of one verb.
type article struct {
	name  string // "natonnx policy show"
	usage string // "NAME|FILE [FLAGS]"
	c     *cli.Command
}

// articles lists the verbs in the order of the program's help.
func articles() (list []article) {
	verbs := newTool().verbs
	eachCommand(verbs, func(c *cli.Command) {
		if c.Action != nil {
			name := "natonnx " + verbPath(verbs, c)
			list = append(list, article{name, strings.TrimPrefix(usageLine(name, c), "usage: "+name+" "), c})
		}
	})
	return list
}

func (a article) paragraphs() []string {
	if a.c.Description == "" {
		return nil
	}
	return strings.Split(a.c.Description, "\n\n")
}

// own returns the flags that not every verb has.
func (a article) own() []cli.Flag { return a.c.Flags[:len(a.c.Flags)-len(commonFlags())] }

// page is the name of the manual page: natonnx-policy-show.
func (a article) page() string { return strings.ReplaceAll(a.name, " ", "-") }

// The manual is what the definitions of the verbs say; -update writes it anew.
func TestManual(t *testing.T) {
	want := map[string]string{"cli.md": markdownManual(), "man/natonnx.1": topPage().String()}
	for _, a := range articles() {
		want["man/"+a.page()+".1"] = a.manPage().String()
	}
	if *update {
		if err := os.RemoveAll(filepath.Join(docs, "man")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(docs, "man"), 0o777); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(docs, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range want {
		if got, err := os.ReadFile(filepath.Join(docs, name)); err != nil || string(got) != text {
			t.Errorf("docs/%s is not what the verbs say (%v): run go test ./cmd/natonnx -run TestManual -update", name, err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(docs, "man/*"))
	if err != nil || len(pages) != len(want)-1 {
		t.Errorf("docs/man has %d pages, want %d", len(pages), len(want)-1)
	}
}

// The manual pages are clean in the eyes of both programs that show them.
func TestManualPagesRender(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(docs, "man/*.1"))
	if err != nil || len(pages) == 0 {
		t.Fatal("no manual pages: run go test ./cmd/natonnx -run TestManual -update")
	}
	for _, command := range [][]string{{"mandoc", "-T", "lint"}, {"groff", "-man", "-Tutf8", "-ww", "-z"}} {
		t.Run(command[0], func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skip("needs ", command[0])
			}
			out, err := exec.Command(command[0], slices.Concat(command[1:], pages)...).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// markdownManual writes docs/cli.md.
func markdownManual() string {
	var b strings.Builder
	b.WriteString("# Command line\n\n<!-- `go test ./cmd/natonnx -run TestManual -update` writes this file -->\n\n")
	fmt.Fprintf(&b, "natonnx %s.\n\n", about)
	b.WriteString("    natonnx COMMAND [ARGUMENTS] [FLAGS]\n\n" +
		"Flags stand before or after the other arguments. A model named `-` is standard input or output. Results go to standard\n" +
		"output, all else to standard error. [The cookbook](cookbook.md) shows commands at work.\n\n")
	list := articles()
	var rows [][2]string
	for _, a := range list {
		rows = append(rows, [2]string{fmt.Sprintf("[`%s`](#%s)", a.name, a.page()), a.c.Usage})
	}
	markdownTable(&b, "command", rows)
	for _, a := range list {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n    %s\n", a.name, sentence(a.c.Usage), strings.TrimSpace(a.name+" "+a.usage))
		for _, p := range a.paragraphs() {
			fmt.Fprintf(&b, "\n%s\n", inMarkdown(p))
		}
		if len(a.own()) > 0 {
			b.WriteString("\n")
			markdownTable(&b, "flag", flagRows(a.own()))
		}
	}
	b.WriteString("\n## Flags of every command\n\n")
	markdownTable(&b, "flag", flagRows(commonFlags()))
	b.WriteString("\n## Exit codes\n\n")
	rows = nil
	for _, e := range exits {
		rows = append(rows, [2]string{fmt.Sprint(e.code), e.meaning})
	}
	markdownTable(&b, "code", rows)
	b.WriteString("\n## Environment\n\n")
	rows = nil
	for _, v := range environment {
		rows = append(rows, [2]string{"`" + v[0] + "`", v[1]})
	}
	markdownTable(&b, "variable", rows)
	return b.String()
}

func flagRows(flags []cli.Flag) (rows [][2]string) {
	terms, meanings := flagTerms(flags)
	for i, term := range terms {
		rows = append(rows, [2]string{"`" + strings.TrimSpace(term) + "`", meanings[i]})
	}
	return rows
}

// markdownTable writes two columns; the first is Markdown already.
func markdownTable(b *strings.Builder, title string, rows [][2]string) {
	fmt.Fprintf(b, "| %s | meaning |\n|---|---|\n", title)
	for _, r := range rows {
		fmt.Fprintf(b, "| %s | %s |\n", strings.ReplaceAll(r[0], "|", `\|`), inMarkdown(r[1]))
	}
}

func inMarkdown(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`).Replace(s)
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// A roff is a page in the language of man(7).
type roff struct{ strings.Builder }

// newRoff begins the page of that name.
func newRoff(name, purpose string) *roff {
	r := &roff{}
	fmt.Fprintf(r, ".\\\" go test ./cmd/natonnx -run TestManual -update writes this file\n")
	fmt.Fprintf(r, ".TH %s 1 %s \"natonnx %s\" \"natonnx manual\"\n", strings.ToUpper(name), dated, version)
	r.WriteString(".nh\n.ad l\n") // commands are not hyphenated
	r.section("NAME")
	fmt.Fprintf(r, "%s \\- %s\n", inRoff(name), inRoff(purpose))
	return r
}

func (r *roff) section(title string) { fmt.Fprintf(r, ".SH %s\n", title) }

// text writes a paragraph in lines that stay readable in the file.
func (r *roff) text(s string) {
	for _, line := range wrap(inRoff(s), 78, 78) {
		if line[0] == '.' {
			line = `\&` + line
		}
		fmt.Fprintln(r, line)
	}
}

// item writes a term, which is roff already, and what it means.
func (r *roff) item(term, meaning string) {
	fmt.Fprintf(r, ".TP\n%s\n", term)
	r.text(meaning)
}

func (r *roff) flags(flags []cli.Flag) {
	terms, meanings := flagTerms(flags)
	for i, term := range terms {
		names, value := strings.TrimSpace(term), ""
		if d := flags[i].(cli.DocGenerationFlag); d.TakesValue() {
			value, _ = metavar(d.GetUsage())
			names, value = strings.TrimSuffix(names, " "+value), ` \fI`+inRoff(value)+`\fR`
		}
		r.item(`\fB`+strings.ReplaceAll(inRoff(names), ", ", `\fR, \fB`)+`\fR`+value, meanings[i])
	}
}

// inRoff escapes text: no character of it means anything to roff, and hyphens
// can be copied to a command line.
func inRoff(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
}

// topPage is natonnx(1).
func topPage() *roff {
	r := newRoff("natonnx", "rewrite ONNX networks with Neural Architecture Transformer policies")
	r.section("SYNOPSIS")
	r.WriteString("\\fBnatonnx\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR] [\\fIFLAGS\\fR]\n")
	r.section("DESCRIPTION")
	r.text("natonnx " + about + ".")
	r.WriteString(".PP\n")
	r.text("Flags stand before or after the other arguments. A model named - is standard input or output. Results go to standard output, all else to standard error.")
	r.section("COMMANDS")
	var pages []string
	for _, a := range articles() {
		r.item(`\fB`+inRoff(a.page())+`\fR(1)`, a.c.Usage)
		pages = append(pages, `.BR `+inRoff(a.page())+" (1)")
	}
	r.section("OPTIONS")
	r.WriteString("Every command has these flags.\n")
	r.flags(commonFlags())
	r.section("ENVIRONMENT")
	for _, v := range environment {
		r.item(`\fB`+v[0]+`\fR`, v[1])
	}
	r.section(`EXIT STATUS`)
	for _, e := range exits {
		r.item(fmt.Sprintf(`\fB%d\fR`, e.code), e.meaning)
	}
	r.section("SEE ALSO")
	r.WriteString(strings.Join(pages, ",\n") + "\n")
	return r
}

// manPage is the page of one verb.
func (a article) manPage() *roff {
	r := newRoff(a.page(), a.c.Usage)
	r.section("SYNOPSIS")
	fmt.Fprintf(r, "\\fB%s\\fR %s\n", inRoff(a.name), inRoff(a.usage))
	if paragraphs := a.paragraphs(); len(paragraphs) > 0 {
		r.section("DESCRIPTION")
		for i, p := range paragraphs {
			if i > 0 {
				r.WriteString(".PP\n")
			}
			r.text(p)
		}
	}
	r.section("OPTIONS")
	r.flags(a.c.Flags)
	r.section(`EXIT STATUS`)
	r.WriteString(".BR natonnx (1)\nlists the exit codes.\n")
	r.section("SEE ALSO")
	r.WriteString(".BR natonnx (1)\n")
	return r
}
