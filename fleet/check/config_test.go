package check

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const example = `
# What a team agreed on.
fail-on: warning
against: released
max-params: 25M
max-size: 90%
max-latency: 20ms
max-growth: 0%
min-opset: 13
weight-types: [float32, float16]
rules:
  no-op: off
  NAT017: error
overrides:
  - files: [mobile/**, "*.onnx"]
    max-params: 5M
    max-memory: 2MiB
    rules: {unused: note}
  - files: mobile/big/*.onnx
    max-params: 6.5M
`

func TestConfig(t *testing.T) {
	c, err := ParseConfig("models/natonnx.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if c.FailOn != Warning || c.Against != filepath.Join("models", "released") {
		t.Errorf("fail-on %s, against %s", c.FailOn, c.Against)
	}
	for _, test := range []struct {
		path   string
		params int64
		memory int64
		unused Severity
	}{
		{"models/other/a.onnx", 25_000_000, 0, Error},
		{"models/a.onnx", 5_000_000, 2 << 20, Note},
		{"models/mobile/a.onnx", 5_000_000, 2 << 20, Note},
		{"models/mobile/deep/er/a.onnx", 5_000_000, 2 << 20, Note},
		{"models/mobile/big/a.onnx", 6_500_000, 2 << 20, Note},
		{"elsewhere/mobile/a.onnx", 25_000_000, 0, Error},
	} {
		s, err := c.For(filepath.FromSlash(test.path), nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.MaxParams.Number != test.params || s.MaxMemory.Number != test.memory || s.Severities["NAT017"] != test.unused || s.Severities["NAT016"] != Off {
			t.Errorf("%s: %+v", test.path, s)
		}
		if s.MaxSize != (Budget{Percent: 90}) || s.MaxLatency != 20*time.Millisecond || s.MaxGrowth == nil || *s.MaxGrowth != 0 || s.MinOpset != 13 ||
			!slices.Equal(s.WeightTypes, []string{"float32", "float16"}) || s.Tolerance != 1e-3 {
			t.Errorf("%s: %+v", test.path, s)
		}
	}
	// What is given with the call comes last.
	s, err := c.For(filepath.FromSlash("models/mobile/a.onnx"), []Setting{{Key: "max-params", Values: []string{"1k"}}})
	if err != nil || s.MaxParams.Number != 1000 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Every fault has the place where it stands, and says what is wanted.
func TestConfigFaults(t *testing.T) {
	for _, test := range []struct{ text, at, want string }{
		{"max-parms: 1", "1:1", `there is no key "max-parms"`},
		{"a: 1", "1:1", `there is no key "a"`},
		{"- max-params: 1", "1:1", "a configuration is a list, want a mapping"},
		{"max-params", "1:1", `a configuration is "max-params", want a mapping`},
		{"max-params:", "1:12", "max-params is empty, want one value"},
		{"max-params: 0", "1:13", "want a number above 0"},
		{"max-params: -3", "1:13", "want a number above 0"},
		{"max-params: 1e9", "1:13", "want a number above 0"},
		{"max-params: 1Q", "1:13", "want a number above 0"},
		{"max-params: 9999999999T", "1:13", "want a number above 0"},
		{"max-params: 0%", "1:13", "want a number above 0"},
		{"max-params: {a: 1}", "1:13", "max-params is a mapping, want one value"},
		{"max-size: 3Gib", "1:11", "want a number of bytes above 0"},
		{"max-size: 10000000Ti", "1:11", "want a number of bytes above 0"},
		{"max-latency: 20", "1:14", "with its unit"},
		{"max-growth: 5", "1:13", "want a percentage"},
		{"max-growth: -5%", "1:13", "want a percentage"},
		{"tolerance: .nan", "1:12", "want a number, 0 or more"},
		{"tolerance: nan", "1:12", "want a number, 0 or more"},
		{"min-opset: 13.5", "1:12", "want a whole number"},
		{"strict: yes", "1:9", "want true or false"},
		{"batch: dynamik", "1:8", "did you mean dynamic?"},
		{"weight-types: [float32, float23]", "1:15", "float23 is no element type; did you mean float32?"},
		{"required-metadata: ['']", "1:20", "an entry is empty"},
		{"required-metadata: [[a]]", "1:21", "required-metadata is a list, want one value"},
		{"fail-on: off", "1:10", "fail-on off: want note, warning or error"},
		{"against: ''", "1:10", "against is empty"},
		{"rules: [NAT001]", "1:8", "rules is a list, want a mapping"},
		{"rules:\n  NAT002: off", "2:11", "NAT002 cannot be off"},
		{"rules:\n  NAT999: off", "2:3", `there is no rule "NAT999"`},
		{"rules:\n  drift: fatal", "2:10", "want off, note, warning or error"},
		{"rules:\n  drift: off\n  nat012: off", "3:3", "nat012 is NAT012, which stands at f.yaml:2:3 already"},
		{"min-opset: 13\nmin-opset: 14", "2:1", "min-opset is there twice"},
		{"min-opset: 13\nmax-opset: 12", "2:12", "max-opset is 12, less than min-opset, which is 13 at f.yaml:1:12"},
		{"min-ir-version: 9\nmax-ir-version: 8", "2:17", "less than min-ir-version"},
		{"overrides:\n- files: a\n  min-opset: 9\n- files: b\n  max-opset: 7\n  min-opset: 8", "5:14", "less than min-opset"},
		{"overrides: {files: a}", "1:12", "overrides is a mapping, want a list"},
		{"overrides:\n- max-params: 1", "2:3", "the override has no files"},
		{"overrides:\n- files: []", "2:10", "files is empty"},
		{"overrides:\n- files: 'a/[x'", "2:10", "is no pattern"},
		{"overrides:\n- files: /a", "2:10", "is no pattern"},
		{"overrides:\n- files: a\n  fail-on: note", "3:3", "stands at the top"},
		{"overrides:\n- files: a\n  overides: []", "3:3", `there is no key "overides"`},
		{"? [a]\n: b", "1:3", "a key is a list"},
		{"a: &x 1\nb: *x", "1:1", "there is no key"},
		{"max-params: *x", "", "is no YAML"},
		{"max-params: 1\n\tmin-opset: 3", "2:1", "is no YAML"},
		{"max-params: 1M\n---\nmax-params: 2M", "", "more than one YAML document"},
		{strings.Repeat("#", maxConfig+1), "", "longer than 1 MiB"},
		{strings.Repeat("[", 100000), "", "is no YAML"},
	} {
		_, err := ParseConfig("f.yaml", []byte(test.text))
		var fault *ConfigError
		if !errors.As(err, &fault) {
			t.Errorf("%.60q: %v", test.text, err)
			continue
		}
		if at := strings.TrimPrefix(strings.TrimPrefix(fault.At, "f.yaml"), ":"); test.at != "" && at != test.at || !strings.Contains(fault.Msg, test.want) {
			t.Errorf("%.60q: %v; want %s: %s", test.text, err, test.at, test.want)
		}
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "null\n", "{}"} {
		if c, err := ParseConfig("f.yaml", []byte(empty)); err != nil || len(c.Settings) > 0 {
			t.Errorf("%q: %v, %v", empty, c, err)
		}
	}
}

func TestFindConfig(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b", "c")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(root, ConfigName), "")
	write(filepath.Join(deep, "net.onnx"), "")
	find := func(want string) {
		t.Helper()
		found, err := FindConfig(deep)
		if err != nil {
			t.Fatal(err)
		}
		if found != "" {
			found, _ = filepath.Abs(found)
		}
		if found != want {
			t.Errorf("found %q, want %q", found, want)
		}
	}
	find(filepath.Join(root, ConfigName))
	write(filepath.Join(root, "a", ".git", "HEAD"), "")
	find("")
	write(filepath.Join(root, "a", ConfigName), "") // at the repository's root itself
	find(filepath.Join(root, "a", ConfigName))
	if err := os.Mkdir(filepath.Join(deep, ConfigName), 0o777); err != nil { // a folder is none
		t.Fatal(err)
	}
	find(filepath.Join(root, "a", ConfigName))
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no []string
	}{
		{"*.onnx", []string{"a.onnx"}, []string{"a/b.onnx", "a.txt", ""}},
		{"**/*.onnx", []string{"a.onnx", "a/b.onnx", "a/b/c.onnx"}, []string{"a/b.txt"}},
		{"a/**", []string{"a/b", "a/b/c", "a"}, []string{"b/a", "ab/c"}},
		{"a/**/z", []string{"a/z", "a/b/z", "a/b/c/z"}, []string{"a/b/z/y", "z"}},
		{"**", []string{"a", "a/b/c"}, nil},
		{"a/?[bc]/d", []string{"a/xb/d"}, []string{"a/xd/d", "a/b/d"}},
		{strings.Repeat("**/", 40) + "x", []string{strings.Repeat("a/", 40) + "x"}, []string{strings.Repeat("a/", 40) + "y"}},
	} {
		for _, name := range test.yes {
			if !match(test.pattern, name) {
				t.Errorf("%s does not match %s", test.pattern, name)
			}
		}
		for _, name := range test.no {
			if match(test.pattern, name) {
				t.Errorf("%s matches %s", test.pattern, name)
			}
		}
	}
}

// Whatever a file holds, reading it ends, and a fault names a place in it or
// the file.
func FuzzConfig(f *testing.F) {
	f.Add(example)
	f.Add("rules: {NAT001: note}\n")
	f.Add("a: &x [*x]\n")
	f.Add("overrides:\n- files: '**'\n  min-opset: 3\n")
	f.Add("? {a: b}\n: c")
	f.Add("%YAML 1.1\n---\n!!map {max-params: !!int 3}")
	f.Add("max-size: 64MiB\nmax-latency: 1h\n\x00")
	place := regexp.MustCompile(`^f\.yaml(:\d+:\d+)?: `)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig("f.yaml", []byte(text))
		if err != nil {
			var fault *ConfigError
			if !errors.As(err, &fault) || !place.MatchString(err.Error()) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		for _, path := range []string{"a.onnx", "a/b/c.onnx"} {
			s, err := c.For(path, nil)
			if err != nil {
				var fault *ConfigError // of overrides that clash for this file
				if !errors.As(err, &fault) {
					t.Errorf("%s: %v", path, err)
				}
				continue
			}
			if s.MinOpset < 0 || s.MaxParams.Number < 0 || s.MaxSize.Percent < 0 || s.MaxLatency < 0 || !(s.Tolerance >= 0) || s.Severities[readable] == Off {
				t.Errorf("%s: %+v", path, s)
			}
		}
	})
}
