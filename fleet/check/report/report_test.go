package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/natonnx/natonnx/fleet/check"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// sample is a report with everything in it.
func sample() *check.Report {
	all := []string{"NAT001", "NAT002", "NAT007", "NAT010", "NAT012", "NAT022"}
	r := &check.Report{Tool: "natonnx", Version: "0.1.0", FailOn: check.Error, Results: []check.Result{
		{
			Path: "models/resnet18.onnx", Digest: strings.Repeat("0a", 32), Checked: all,
			Measures: &check.Measures{
				IRVersion: 8, Opset: 17, Nodes: 49, Params: 11_689_512, MAdds: 1_814_073_344, ActivationBytes: 6_422_528, FileBytes: 46_827_520, BatchAssumed: true,
				Latency: &check.Latency{Runs: 20, Batch: 1, Cores: 2, Median: 41_300 * time.Microsecond, P90: 44 * time.Millisecond},
				Drift:   &check.Drift{Against: "main/resnet18.onnx", Inputs: 4, Seed: 7, MaxAbs: 0.25, Relative: 0.0312},
			},
			Base: &check.Measures{IRVersion: 8, Opset: 17, Nodes: 49, Params: 11_689_512, MAdds: 1_751_900_000, ActivationBytes: 6_422_528, FileBytes: 46_830_571},
			Findings: []check.Finding{
				{Rule: "NAT022", Severity: check.Note, Where: `graph.node[12] (Conv "stem")`, Message: "has the name of graph.node[3]", Found: "stem"},
				{Rule: "NAT022", Severity: check.Note, Where: `graph.node[14] (Conv "stem")`, Message: "has the name of graph.node[3]", Found: "stem"},
				{Rule: "NAT012", Severity: check.Warning, Message: "the outputs are 0.0312 from those of the base, 0.001 is allowed", Wanted: "0.001 or less", Found: "0.0312"},
				{Rule: "NAT007", Severity: check.Error, Message: "1,814,073,344 multiply-adds, the budget is 1,000,000,000", Wanted: "1000000000 or less", Found: "1814073344"},
			},
			Skipped: []check.Skip{},
		},
		{
			Path: "models/good.onnx", Digest: strings.Repeat("1b", 32), Checked: all[:4], Findings: []check.Finding{},
			Measures: &check.Measures{IRVersion: 9, Opset: 20, Nodes: 3, Params: 0, MAdds: 10, ActivationBytes: 999, FileBytes: 1000},
			Skipped:  []check.Skip{{Rule: "NAT012", Reason: "there is no base in main"}},
		},
		{
			Path: "models/noted.onnx", Digest: strings.Repeat("2c", 32), Checked: all[5:], Findings: []check.Finding{
				{Rule: "NAT022", Severity: check.Note, Where: `graph.node[0] (Relu "")`, Message: "3 of 7 nodes have no name"},
			}, Skipped: []check.Skip{},
		},
		{
			Path: "models/lfs pointer.onnx", Checked: []string{"NAT002"}, Findings: []check.Finding{
				{Rule: "NAT002", Severity: check.Error, Message: "is a Git LFS pointer: run git lfs pull"},
			}, Skipped: []check.Skip{},
		},
	}}
	return counting(r)
}

// hostile is a report on files whose authors wish us ill.
func hostile(name string) *check.Report {
	return counting(&check.Report{Tool: "natonnx", Version: "0.1.0", FailOn: check.Note, Results: []check.Result{{
		Path: name, Checked: []string{"NAT022"},
		Measures: &check.Measures{Drift: &check.Drift{Against: name, MaxAbs: math.Inf(1), Relative: math.NaN()}},
		Base:     &check.Measures{Params: math.MaxInt64},
		Findings: []check.Finding{
			{Rule: "NAT022", Severity: check.Error, Where: name, Message: name, Wanted: name, Found: name},
			{Rule: "NAT012", Severity: check.Note, Where: "", Message: "", Wanted: name},
		},
		Skipped: []check.Skip{{Rule: "NAT010", Reason: name}},
	}}})
}

// wicked are names that mean something to somebody.
var wicked = []string{
	"a\nb", "a\r\n::error file=x::owned", "::error::owned", "%0A::error::owned", "a::b,c=d", "x|y|z", "<script>alert(1)</script>", "```\ncode", "`",
	"\x1b[31mred\x1b[0m\x07\x00", "\xff\xfe\xc0", "]]>", "&amp;&#10;", "[click](http://example.com)", "@everyone #1 www.example.com http://example.com a@b.cd",
	"</details></td></table>", "C:\\models\\a.onnx", "C:/models/a b.onnx", "/abs/é.onnx", "a:b/c?d#e%41", "//host/share", "//hos\x9et;\x8c/share", "--- \n# head", "\u202ereversed", "$x$ ~~y~~ **z** __w__",
	"\u2028 \u0085 ", "{0}", "", "\ufffe\uffff", ":smile:",
}

func counting(r *check.Report) *check.Report {
	for i := range r.Results {
		r.Counts.Skipped += len(r.Results[i].Skipped)
		for j := range r.Results[i].Findings {
			f := &r.Results[i].Findings[j]
			f.Path = r.Results[i].Path
		}
		c := count(r.Results[i].Findings)
		r.Counts.Errors, r.Counts.Warnings, r.Counts.Notes = r.Counts.Errors+c.Errors, r.Counts.Warnings+c.Warnings, r.Counts.Notes+c.Notes
	}
	return r
}

func written(t testing.TB, format string, r *check.Report, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, r, o); err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return b.String()
}

// rules are those of SARIF's driver, whose wording is no matter of formats.
var rules = regexp.MustCompile(`(?s)"rules": \[.*?\n          \]`)

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name, format string
		r            *check.Report
		o            Options
	}{
		{"text", "text", sample(), Options{}},
		{"text-narrow", "text", sample(), Options{Width: 40, Detail: true}},
		{"text-colour", "text", sample(), Options{Width: 60, Colour: true}},
		{"json", "json", sample(), Options{}},
		{"github", "github", sample(), Options{}},
		{"junit", "junit", sample(), Options{}},
		{"sarif", "sarif", sample(), Options{ExitCode: 5}},
		{"markdown", "markdown", sample(), Options{}},
		{"markdown-clean", "markdown", counting(&check.Report{FailOn: check.Error, Results: sample().Results[1:2]}), Options{}},
		{"markdown-hostile", "markdown", hostile(strings.Join(wicked, " ")), Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, path := rules.ReplaceAllString(written(t, c.format, c.r, c.o), `"rules": ["..."]`), filepath.Join("testdata", c.name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("found\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestUnknownFormat(t *testing.T) {
	err := Write(io.Discard, "xml", sample(), Options{})
	if err == nil || !strings.Contains(err.Error(), "text, json, github, junit, sarif, markdown") {
		t.Errorf("%v", err)
	}
}

// A report that cannot be written is an error, in every format.
func TestWriteError(t *testing.T) {
	for _, format := range Formats() {
		if err := Write(broken{}, format, sample(), Options{}); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

// reports are those that the schemas are held against.
func reports() map[string]*check.Report {
	m := map[string]*check.Report{
		"sample": sample(), "nothing": {Tool: "natonnx", FailOn: check.Note}, "long": hostile(strings.Repeat("long ", 100_000)),
		"empty": counting(&check.Report{Tool: "natonnx", FailOn: check.Error, Results: []check.Result{{Path: "a.onnx", Findings: []check.Finding{}, Checked: []string{}, Skipped: []check.Skip{}}}}),
	}
	for _, s := range wicked {
		m[fmt.Sprintf("%q", s)] = hostile(s)
	}
	return m
}

func schema(t testing.TB, path string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, document string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func TestJSONSchema(t *testing.T) {
	s := schema(t, "../../../docs/schema/check-v1.json")
	for name, r := range reports() {
		if err := validate(s, written(t, "json", r, Options{})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The schema is not one that allows everything.
	for _, change := range [][2]string{
		{`"tool": "natonnx"`, `"tool": "other"`}, {`"fail_on": "error"`, `"fail_on": "off"`}, {`"NAT007"`, `"7"`}, {`"params": `, `"parameters": `}, {`"schema_version": 1`, `"schema_version": 2`},
	} {
		if document := written(t, "json", sample(), Options{}); validate(s, strings.Replace(document, change[0], change[1], 1)) == nil {
			t.Errorf("%s is allowed", change[1])
		}
	}
}

func TestSARIFSchema(t *testing.T) {
	s := schema(t, "testdata/sarif-2.1.0.json")
	for name, r := range reports() {
		if err := validate(s, written(t, "sarif", r, Options{ExitCode: 5})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Results are to be recognised in later runs though numbers change and nodes move.
func TestSARIFFingerprints(t *testing.T) {
	prints := func(r *check.Report) (list []string) {
		var log sarifLog
		if err := json.Unmarshal([]byte(written(t, "sarif", r, Options{})), &log); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, result := range log.Runs[0].Results {
			print := result.Fingerprints["primaryLocationLineHash"]
			if seen[print] {
				t.Errorf("two results have the fingerprint %s", print)
			}
			seen[print] = true
			list = append(list, print)
		}
		return list
	}
	before := prints(sample())
	changed := sample()
	for i := range changed.Results[0].Findings {
		f := &changed.Results[0].Findings[i]
		f.Message, f.Found, f.Where = "now "+f.Message, "other", strings.Replace(f.Where, "[1", "[20", 1)
	}
	if after := prints(changed); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("before %s, after %s", before, after)
	}
	changed.Results[0].Findings[0].Where = `graph.node[12] (Conv "other")`
	if after := prints(changed); after[0] == before[0] {
		t.Error("another node has the same fingerprint")
	}
}

func TestURI(t *testing.T) {
	for path, want := range map[string]string{
		"models/a.onnx": "models/a.onnx", "../a b.onnx": "../a%20b.onnx", "a:b.onnx": "a%3Ab.onnx", "/tmp/é%.onnx": "file:///tmp/%C3%A9%25.onnx",
		"C:/a.onnx": "file:///C%3A/a.onnx", "//host/a.onnx": "file:////host/a.onnx", "<stdin>": "%3Cstdin%3E", "a?b#c": "a%3Fb%23c", "a\xff\n": "a%FF%0A",
	} {
		got := uri(path)
		if got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
		u, err := url.Parse(got)
		if err != nil || !strings.HasSuffix(path, u.Path) && !strings.HasSuffix(u.Path, path) {
			t.Errorf("%q: read back as %q (%v)", path, u.Path, err)
		}
	}
}

// xmllint is an independent reader of schemas.
func TestJUnitSchema(t *testing.T) {
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		if os.Getenv("NATONNX_ORACLE") == "required" {
			t.Fatal("xmllint is not there: install libxml2-utils")
		}
		t.Skip("xmllint is not there: install libxml2-utils")
	}
	dir := t.TempDir()
	args := []string{"--noout", "--nonet", "--schema", "testdata/junit-10.xsd"}
	for name, r := range reports() {
		path := filepath.Join(dir, fmt.Sprintf("%d.xml", len(args)))
		if err := os.WriteFile(path, []byte(written(t, "junit", r, Options{})), 0o666); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
		t.Logf("%s is %s", path, name)
	}
	if out, err := exec.Command(lint, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What fails is what fails the run, and every test has a name of its own.
func TestJUnitOutcome(t *testing.T) {
	for failOn, want := range map[check.Severity]int{check.Error: 2, check.Warning: 3, check.Note: 5} {
		r := sample()
		r.FailOn = failOn
		var all testSuites
		if err := xml.Unmarshal([]byte(written(t, "junit", r, Options{})), &all); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, s := range all.Suites {
			for _, c := range s.Cases {
				names[c.Class+" "+c.Name] = true
			}
		}
		if all.Failures != want || all.Tests != 13 || len(names) != 13 {
			t.Errorf("%s: %d of %d tests fail, %d names; want %d of 13", failOn, all.Failures, all.Tests, len(names), want)
		}
	}
}

// A workflowCommand is what a runner reads from a line.
type workflowCommand struct {
	name       string
	properties map[string]string
	message    string
}

// parseCommand reads a line as GitHub's documentation says: ::name key=value,...::message.
func parseCommand(line string) (c workflowCommand, ok bool) {
	rest, ok := strings.CutPrefix(line, "::")
	head, message, ok2 := strings.Cut(rest, "::")
	if !ok || !ok2 {
		return c, false
	}
	name, list, _ := strings.Cut(head, " ")
	c = workflowCommand{name, map[string]string{}, strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%").Replace(message)}
	for _, p := range strings.Split(list, ",") {
		key, value, _ := strings.Cut(p, "=")
		c.properties[key] = strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%").Replace(value)
	}
	return c, true
}

// lines splits as readers of logs do, for whom a carriage return ends a line too.
func lines(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
}

// holdsGitHub reads commands back: one for each finding, and what it says.
func holdsGitHub(t *testing.T, r *check.Report) {
	t.Helper()
	want := []check.Finding{}
	for _, result := range r.Results {
		want = append(want, result.Findings...)
	}
	want = gravest(want)
	got := lines(written(t, "github", r, Options{}))
	if len(got) != len(want)+1 || strings.HasPrefix(got[len(got)-1], "::") {
		t.Fatalf("%d findings in the lines\n%q", len(want), got)
	}
	for i, f := range want {
		c, ok := parseCommand(got[i])
		if !ok || len(c.properties) != 2 || c.name != map[check.Severity]string{"error": "error", "warning": "warning", "note": "notice"}[f.Severity] {
			t.Fatalf("%q: %+v", got[i], c)
		}
		message := f.Message
		if f.Where != "" {
			message = f.Where + ": " + message
		}
		if c.properties["file"] != visible(f.Path) || c.properties["title"] != title(f.Rule) || c.message != visible(message) {
			t.Errorf("%q: %+v", got[i], c)
		}
	}
}

func TestGitHub(t *testing.T) {
	holdsGitHub(t, sample())
	for _, s := range wicked {
		holdsGitHub(t, hostile(s))
	}
	if s := "a%b:c,d\re\nf é"; visible(s) != s {
		t.Error("what logs can show is changed")
	}
}

// Nobody's name becomes a cell, a tag, a mention or a link, and the text obeys
// nothing.
func TestMarkdownInjection(t *testing.T) {
	plain := written(t, "markdown", hostile("plain"), Options{})
	count := func(s string) [4]int {
		return [4]int{strings.Count(s, "|"), strings.Count(s, "<"), strings.Count(s, "\n"), strings.Count(s, "](")}
	}
	for _, s := range wicked {
		got := written(t, "markdown", hostile("x"+s), Options{})
		if count(got) != count(plain) || strings.ContainsAny(got, "@`\r\x1b\x00") || strings.Contains(got, "://e") || strings.Contains(got, "www.") {
			t.Errorf("%q:\n%s", s, got)
		}
	}
}

// A comment has to fit into GitHub's limit, and says what it leaves out.
func TestMarkdownLimit(t *testing.T) {
	r := &check.Report{FailOn: check.Error}
	for i := range 400 {
		one := hostile(fmt.Sprint(i, strings.Repeat("|", 500))).Results[0]
		r.Results = append(r.Results, one, sample().Results[1])
	}
	got := written(t, "markdown", counting(r), Options{})
	if n := utf8.RuneCountInString(got); n > 65_536 || n < 60_000 {
		t.Errorf("%d characters", n)
	}
	rows := strings.Count(got, "\n| ") - strings.Count(got, "\n|---")
	if rest := fmt.Sprintf("too short for it: %d lines.**", 3*800-rows); !strings.Contains(got, rest) {
		t.Errorf("%d rows of 2400 are shown; the end is %q", rows, got[len(got)-200:])
	}
	if strings.Count(got, "<details") != strings.Count(got, "</details>") {
		t.Error("a part that is folded up has no end")
	}
}

// What people see on a terminal has no escapes but natonnx's own.
func TestTextIsVisible(t *testing.T) {
	for _, s := range wicked {
		got := written(t, "text", hostile("a"+s+"b"), Options{Width: 80, Detail: true})
		if strings.ContainsAny(got, "\x1b\r\x07\x00\u202e\u2028\u0085") || !utf8.ValidString(got) {
			t.Errorf("%q:\n%q", s, got)
		}
	}
}

// Long names are cut, and cost little.
func TestLongNames(t *testing.T) {
	r := hostile(strings.Repeat("\xffé", 1<<20))
	for _, format := range Formats() {
		if n := len(written(t, format, r, Options{})); n > 1<<19 {
			t.Errorf("%s: %d bytes", format, n)
		}
	}
}

func FuzzWrite(f *testing.F) {
	for _, s := range wicked {
		f.Add(s)
	}
	own, sarif := schema(f, "../../../docs/schema/check-v1.json"), schema(f, "testdata/sarif-2.1.0.json")
	f.Fuzz(func(t *testing.T, s string) {
		r := hostile(s)
		if err := validate(own, written(t, "json", r, Options{})); err != nil {
			t.Error(err)
		}
		if err := validate(sarif, written(t, "sarif", r, Options{})); err != nil {
			t.Error(err)
		}
		var all testSuites
		if err := xml.Unmarshal([]byte(written(t, "junit", r, Options{})), &all); err != nil || all.Tests != 3 {
			t.Errorf("%d tests, %v", all.Tests, err)
		}
		if len(s) <= longest {
			holdsGitHub(t, r)
		}
		if rows := strings.Count(written(t, "markdown", r, Options{}), "\n"); rows != strings.Count(written(t, "markdown", hostile("x"), Options{}), "\n") {
			t.Errorf("%d lines of markdown", rows)
		}
		written(t, "text", r, Options{Width: 30})
	})
}
