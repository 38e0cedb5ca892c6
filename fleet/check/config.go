package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ConfigName is the name under which a configuration is looked for.
const ConfigName = "natonnx.yaml"

// maxConfig bounds a configuration, in bytes.
const maxConfig = 1 << 20

// A Config is what natonnx.yaml says. The zero value says nothing.
type Config struct {
	Path      string // of the file; "" for none
	FailOn    Severity
	Against   string // a path; relative to the file's folder in the file, and joined with it here
	Settings  []Setting
	Overrides []Override
}

// An Override is settings for some of the files.
type Override struct {
	Files    []string // patterns, relative to the configuration's folder; ** stands for any folders
	Settings []Setting
}

// ReadConfig reads a configuration. A fault of it is a *ConfigError with file,
// line and column.
func ReadConfig(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, err
	}
	return ParseConfig(path, data)
}

// ParseConfig reads a configuration from memory; path is what errors call it,
// and its folder is what paths and patterns in it are relative to.
func ParseConfig(path string, data []byte) (*Config, error) {
	if len(data) > maxConfig {
		return nil, &ConfigError{At: path, Msg: "is longer than 1 MiB, want a configuration"}
	}
	c := &Config{Path: path}
	r := &configReader{path: path}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return c, nil // empty, or nothing but comments
	case err != nil:
		return nil, r.syntax(err)
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, &ConfigError{At: path, Msg: "holds more than one YAML document, want one"}
	}
	if err := r.document(c, doc.Content[0]); err != nil {
		return nil, err
	}
	return c, c.check()
}

// A configReader turns YAML into settings.
type configReader struct{ path string }

// syntax words an error of the YAML reader, which knows the line alone.
func (r *configReader) syntax(err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if line, what, ok := strings.Cut(rest, ": "); ok {
			return &ConfigError{At: r.path + ":" + line + ":1", Msg: "is no YAML: " + what}
		}
	}
	return &ConfigError{At: r.path, Msg: "is no YAML: " + msg}
}

func (r *configReader) at(n *yaml.Node) string {
	return fmt.Sprintf("%s:%d:%d", r.path, n.Line, n.Column)
}

func (r *configReader) errorf(n *yaml.Node, format string, args ...any) error {
	return &ConfigError{At: r.at(n), Msg: fmt.Sprintf(format, args...)}
}

func (r *configReader) document(c *Config, n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	return r.mapping(n, "a configuration", func(key, value *yaml.Node) error {
		var err error
		switch key.Value {
		case "fail-on":
			var text string
			if text, err = r.scalar(key.Value, value); err == nil && !slices.Contains(severities[1:], Severity(text)) {
				err = wantOneOf(r.at(value), "fail-on "+text, text, severities[1:])
			}
			c.FailOn = Severity(text)
		case "against":
			if c.Against, err = r.scalar(key.Value, value); err == nil && c.Against == "" {
				err = r.errorf(value, "against is empty, want a file or a folder")
			} else if !filepath.IsAbs(c.Against) {
				c.Against = filepath.Join(filepath.Dir(r.path), filepath.FromSlash(c.Against))
			}
		case "overrides":
			return r.overrides(c, value)
		default:
			var list []Setting
			list, err = r.setting(key, value, "fail-on", "against", "overrides")
			c.Settings = append(c.Settings, list...)
		}
		return err
	})
}

func (r *configReader) overrides(c *Config, n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return r.errorf(n, "overrides is %s, want a list of mappings, each with files", kind(n))
	}
	for _, item := range n.Content {
		var o Override
		err := r.mapping(item, "an override", func(key, value *yaml.Node) (err error) {
			if key.Value == "files" {
				o.Files, err = r.patterns(value)
				return err
			}
			if key.Value == "fail-on" || key.Value == "against" {
				return r.errorf(key, "%s stands at the top of a configuration, not in an override", key.Value)
			}
			list, err := r.setting(key, value, "files")
			o.Settings = append(o.Settings, list...)
			return err
		})
		if err != nil {
			return err
		}
		if o.Files == nil {
			return r.errorf(item, "the override has no files, want patterns such as mobile/**")
		}
		c.Overrides = append(c.Overrides, o)
	}
	return nil
}

func (r *configReader) patterns(n *yaml.Node) ([]string, error) {
	list, err := r.list("files", n)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, r.errorf(n, "files is empty, want patterns such as mobile/**")
	}
	for _, p := range list {
		if err := validPattern(p); err != nil {
			return nil, r.errorf(n, "files: %q %v", p, err)
		}
	}
	return list, nil
}

// setting reads one key that sets something for files; the mapping may have
// others as well.
func (r *configReader) setting(key, value *yaml.Node, others ...string) ([]Setting, error) {
	if key.Value == "rules" {
		return r.rules(value)
	}
	i := slices.IndexFunc(options, func(o option) bool { return o.key == key.Value })
	if i < 0 {
		return nil, unknown(r.at(key), "key", key.Value, append(keys(), others...))
	}
	values, err := []string(nil), error(nil)
	if options[i].list {
		values, err = r.list(key.Value, value)
	} else {
		values = make([]string, 1)
		values[0], err = r.scalar(key.Value, value)
	}
	if err != nil {
		return nil, err
	}
	return []Setting{{key.Value, values, r.at(value)}}, nil
}

func (r *configReader) rules(n *yaml.Node) (list []Setting, err error) {
	seen := map[string]string{}
	err = r.mapping(n, "rules", func(key, value *yaml.Node) error {
		rule, err := findRule(r.at(key), key.Value)
		if err != nil {
			return err
		}
		if before, again := seen[rule.ID]; again {
			return r.errorf(key, "%s is %s, which stands at %s already", key.Value, rule.ID, before)
		}
		seen[rule.ID] = r.at(key)
		text, err := r.scalar(key.Value, value)
		list = append(list, Setting{"rules", []string{rule.ID, text}, r.at(value)})
		return err
	})
	return list, err
}

// mapping visits the entries of a mapping, and refuses a key that comes twice.
func (r *configReader) mapping(n *yaml.Node, what string, visit func(key, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return r.errorf(n, "%s is %s, want a mapping (key: value)", what, kind(n))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return r.errorf(key, "a key is %s, want a word", kind(key))
		}
		if seen[key.Value] {
			return r.errorf(key, "%s is there twice", key.Value)
		}
		seen[key.Value] = true
		if err := visit(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (r *configReader) scalar(key string, n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return "", r.errorf(n, "%s is %s, want one value", key, kind(n))
	}
	return n.Value, nil
}

// list reads a list of words; one word stands for a list of it.
func (r *configReader) list(key string, n *yaml.Node) (list []string, err error) {
	if n.Kind != yaml.SequenceNode {
		text, err := r.scalar(key, n)
		return []string{text}, err
	}
	list = []string{}
	for _, item := range n.Content {
		text, err := r.scalar(key, item)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, nil
}

// kind names what stands in the place of something else. Anchors are not
// followed: a configuration is short, and they can make it endless.
func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias (*" + n.Value + "), which is not supported here"
	case n.Tag == "!!null":
		return "empty"
	}
	return fmt.Sprintf("%q", n.Value)
}

// check tries all settings, so that faults are found before anything is done.
func (c *Config) check() error {
	s := DefaultSettings()
	for _, t := range c.Settings {
		if err := s.apply(t); err != nil {
			return err
		}
	}
	if err := s.contradiction(); err != nil {
		return err
	}
	for _, o := range c.Overrides {
		alone := s
		alone.Severities, alone.origins = nil, nil
		for key, at := range s.origins {
			alone.mark(key, at)
		}
		for _, t := range o.Settings {
			if err := alone.apply(t); err != nil {
				return err
			}
		}
		if err := alone.contradiction(); err != nil {
			return err
		}
	}
	return nil
}

// For returns the settings for a file: those of the configuration, then of the
// overrides that match in their order, then the given ones, the later over the
// earlier. A nil Config says nothing.
func (c *Config) For(path string, given []Setting) (*Settings, error) {
	s := DefaultSettings()
	var list []Setting
	if c != nil {
		list = append(list, c.Settings...)
		rel, err := c.relative(path)
		if err != nil {
			return nil, err
		}
		for _, o := range c.Overrides {
			if slices.ContainsFunc(o.Files, func(pattern string) bool { return match(pattern, rel) }) {
				list = append(list, o.Settings...)
			}
		}
	}
	for _, t := range append(list, given...) {
		if err := s.apply(t); err != nil {
			return nil, err
		}
	}
	return &s, s.contradiction()
}

// relative returns a file's path from the configuration's folder, with slashes.
func (c *Config) relative(path string) (string, error) {
	if c.Path == "" {
		return filepath.ToSlash(path), nil
	}
	dir, err := filepath.Abs(filepath.Dir(c.Path))
	if err != nil {
		return "", err
	}
	file, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(dir, file)
	return filepath.ToSlash(rel), err
}

// FindConfig looks for natonnx.yaml in a folder and those above it, up to the
// root of the git repository or of the file system. It returns "" where there
// is none.
func FindConfig(dir string) (string, error) {
	found := ""
	err := upwards(dir, func(dir string) bool {
		path := filepath.Join(dir, ConfigName)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			found = path
		}
		return found != "" || isRepository(dir)
	})
	return shortest(found), err
}

// shortest returns a path relative to the working folder where that is shorter.
func shortest(path string) string {
	dir, err := os.Getwd()
	if err != nil || path == "" {
		return path
	}
	if rel, err := filepath.Rel(dir, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// upwards visits a folder and those above it until stop returns true.
func upwards(dir string, stop func(dir string) bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for !stop(dir) {
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
	return nil
}

// isRepository reports whether a folder is the root of a git repository or of
// a working tree of one.
func isRepository(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, ".git"))
	return err == nil
}
