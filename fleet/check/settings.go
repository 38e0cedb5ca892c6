package check

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings say what is asked of one file. The zero value of a bound is none.
type Settings struct {
	// Severities of rules by ID, where they are not the rule's own.
	Severities map[string]Severity
	// Strict makes a rule that could not be checked a finding of that rule.
	Strict bool

	MinOpset, MaxOpset         int64
	MinIRVersion, MaxIRVersion int64

	MaxParams, MaxMAdds, MaxMemory, MaxSize Budget
	MaxLatency                              time.Duration // of the median run
	// MaxGrowth bounds how much parameters, multiply-adds, activation memory and
	// file size may each grow over the base's, in percent; nil: no bound.
	MaxGrowth *float64

	// Tolerance is the relative difference that outputs may have: in the Euclidean
	// norm from the base's, element by element from test data. Below
	// AbsoluteTolerance, elements are the same all the same.
	Tolerance, AbsoluteTolerance float64

	Batch            string   // "any", "dynamic" or "fixed"
	RequiredMetadata []string // keys of metadata_props
	AllowedDomains   []string // of operators, beside those of the ONNX project
	WeightTypes      []string // element types of weights; nil: all but float64

	// origins says where each key was set, for errors that name two.
	origins map[string]string
}

// DefaultSettings are those without a configuration. The tolerances are those of
// the ONNX project's own test runner.
func DefaultSettings() Settings {
	return Settings{Tolerance: 1e-3, AbsoluteTolerance: 1e-7, Batch: "any"}
}

// severity returns how much a rule matters under the settings.
func (s *Settings) severity(r Rule) Severity {
	if v, ok := s.Severities[r.ID]; ok {
		return v
	}
	return r.Severity
}

// A Budget bounds a cost by a number, or by a share of the base's cost. The
// zero value is no bound.
type Budget struct {
	Number  int64
	Percent float64 // where it is not 0, Number is not used
}

// set reports whether there is a bound.
func (b Budget) set() bool { return b.Number > 0 || b.Percent > 0 }

// A Setting is one entry of a configuration.
type Setting struct {
	Key    string   // max-params, or rules for the severity of one rule
	Values []string // one; any number for lists; rule and severity for rules
	At     string   // where it stands, for errors: natonnx.yaml:3:12; "" for a flag
}

// A ConfigError is a fault of a configuration or of a flag.
type ConfigError struct {
	At   string // natonnx.yaml:3:12; may be ""
	Msg  string
	Hint string // what to do instead; may be ""
}

func (e *ConfigError) Error() string {
	if e.At == "" {
		return e.Msg
	}
	return e.At + ": " + e.Msg
}

// An option is a key that a configuration may have.
type option struct {
	key  string
	list bool
	set  func(s *Settings, values []string) error
}

// options lists the keys that set something for a file.
var options = []option{
	{"min-opset", false, whole(func(s *Settings) *int64 { return &s.MinOpset })},
	{"max-opset", false, whole(func(s *Settings) *int64 { return &s.MaxOpset })},
	{"min-ir-version", false, whole(func(s *Settings) *int64 { return &s.MinIRVersion })},
	{"max-ir-version", false, whole(func(s *Settings) *int64 { return &s.MaxIRVersion })},
	{"max-params", false, budget(func(s *Settings) *Budget { return &s.MaxParams }, parseCount)},
	{"max-madds", false, budget(func(s *Settings) *Budget { return &s.MaxMAdds }, parseCount)},
	{"max-memory", false, budget(func(s *Settings) *Budget { return &s.MaxMemory }, parseBytes)},
	{"max-size", false, budget(func(s *Settings) *Budget { return &s.MaxSize }, parseBytes)},
	{"max-latency", false, func(s *Settings, v []string) (err error) { s.MaxLatency, err = parseLatency(v[0]); return err }},
	{"max-growth", false, func(s *Settings, v []string) (err error) { s.MaxGrowth, err = parseGrowth(v[0]); return err }},
	{"tolerance", false, tolerance(func(s *Settings) *float64 { return &s.Tolerance })},
	{"absolute-tolerance", false, tolerance(func(s *Settings) *float64 { return &s.AbsoluteTolerance })},
	{"batch", false, func(s *Settings, v []string) error { return oneOf(&s.Batch, v[0], "any", "dynamic", "fixed") }},
	{"strict", false, func(s *Settings, v []string) (err error) { s.Strict, err = parseBool(v[0]); return err }},
	{"required-metadata", true, func(s *Settings, v []string) error { s.RequiredMetadata = v; return nonEmpty(v) }},
	{"allowed-domains", true, func(s *Settings, v []string) error { s.AllowedDomains = v; return nonEmpty(v) }},
	{"weight-types", true, func(s *Settings, v []string) error { s.WeightTypes = v; return weightTypes(v) }},
}

// apply carries out one setting.
func (s *Settings) apply(t Setting) error {
	if t.Key == "rules" {
		return s.applySeverity(t)
	}
	i := slices.IndexFunc(options, func(o option) bool { return o.key == t.Key })
	if i < 0 {
		return unknown(t.At, "key", t.Key, keys())
	}
	if !options[i].list && len(t.Values) != 1 {
		return &ConfigError{At: t.At, Msg: fmt.Sprintf("%s has %d values, want one", t.Key, len(t.Values))}
	}
	if err := options[i].set(s, t.Values); err != nil {
		return &ConfigError{At: t.At, Msg: fmt.Sprintf("%s %s: %v", t.Key, strings.Join(t.Values, ", "), err)}
	}
	s.mark(t.Key, t.At)
	return nil
}

func (s *Settings) mark(key, at string) {
	if s.origins == nil {
		s.origins = map[string]string{}
	}
	s.origins[key] = at
}

// Check returns nil where the key exists and its value is one that it can have,
// or else a *ConfigError.
func (t Setting) Check() error {
	var s Settings
	return s.apply(t)
}

// applySeverity sets how much one rule matters. A file that is no model cannot
// be checked by any rule, so the one that says so cannot be off.
func (s *Settings) applySeverity(t Setting) error {
	r, err := findRule(t.At, t.Values[0])
	if err != nil {
		return err
	}
	to := Severity(t.Values[1])
	if !slices.Contains(severities, to) {
		return wantOneOf(t.At, t.Values[0]+" "+t.Values[1], t.Values[1], severities)
	}
	if r.ID == readable && to == Off {
		return &ConfigError{At: t.At, Msg: r.ID + " cannot be off: what is no model cannot be checked", Hint: "note is the least that it can be"}
	}
	if s.Severities == nil {
		s.Severities = map[string]Severity{}
	}
	s.Severities[r.ID] = to
	return nil
}

// FindRule returns the rule of that ID or name.
func FindRule(name string) (Rule, error) { return findRule("", name) }

func findRule(at, name string) (Rule, error) {
	var names []string
	for _, r := range Rules {
		if strings.EqualFold(name, r.ID) || name == r.Name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Rule{}, unknown(at, "rule", name, names)
}

// contradiction finds bounds that no model can keep.
func (s *Settings) contradiction() error {
	for _, pair := range []struct {
		name     string
		min, max int64
	}{{"opset", s.MinOpset, s.MaxOpset}, {"ir-version", s.MinIRVersion, s.MaxIRVersion}} {
		if pair.max > 0 && pair.min > pair.max {
			lower, upper := "min-"+pair.name, "max-"+pair.name
			msg := fmt.Sprintf("%s is %d, less than %s, which is %d", upper, pair.max, lower, pair.min)
			if at := s.origins[lower]; at != "" {
				msg += " at " + at
			}
			return &ConfigError{At: s.origins[upper], Msg: msg}
		}
	}
	return nil
}

// NeedsBase returns the first key that only a comparison with a base can check,
// or "".
func (s *Settings) NeedsBase() string {
	for _, b := range []struct {
		key string
		set bool
	}{
		{"max-params", s.MaxParams.Percent > 0}, {"max-madds", s.MaxMAdds.Percent > 0}, {"max-memory", s.MaxMemory.Percent > 0},
		{"max-size", s.MaxSize.Percent > 0}, {"max-growth", s.MaxGrowth != nil},
	} {
		if b.set {
			return b.key
		}
	}
	return ""
}

// keys lists what may stand in a configuration, overrides and all.
func keys() []string {
	list := []string{"rules"}
	for _, o := range options {
		list = append(list, o.key)
	}
	return list
}

func whole(field func(*Settings) *int64) func(*Settings, []string) error {
	return func(s *Settings, v []string) error {
		n, err := strconv.ParseInt(v[0], 10, 32)
		if err != nil || n < 1 {
			return errors.New("want a whole number, 1 or more")
		}
		*field(s) = n
		return nil
	}
}

func budget(field func(*Settings) *Budget, parse func(string) (int64, error)) func(*Settings, []string) error {
	return func(s *Settings, v []string) error {
		var b Budget
		var err error
		if share, ok := strings.CutSuffix(v[0], "%"); ok {
			b.Percent, err = parseNumber(share)
		} else {
			b.Number, err = parse(v[0])
		}
		if err != nil {
			return err
		}
		*field(s) = b
		return nil
	}
}

func tolerance(field func(*Settings) *float64) func(*Settings, []string) error {
	return func(s *Settings, v []string) error {
		x, err := strconv.ParseFloat(v[0], 64)
		if err != nil || !(x >= 0) || math.IsInf(x, 0) {
			return errors.New("want a number, 0 or more, such as 1e-3")
		}
		*field(s) = x
		return nil
	}
}

var errCount = errors.New("want a number above 0, such as 300M or 1.5G, or a share of the base's, such as 90%")

// parseNumber reads a plain decimal number above 0.
func parseNumber(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x > 0) || math.IsInf(x, 0) || strings.ContainsAny(s, "xXpPeE_+") {
		return 0, errCount
	}
	return x, nil
}

// parseCount reads 300M.
func parseCount(s string) (int64, error) {
	scale := 1.0
	if s != "" {
		if i := strings.IndexByte("kMGT", s[len(s)-1]); i >= 0 {
			s, scale = s[:len(s)-1], math.Pow(1000, float64(i+1))
		} else if s[len(s)-1] == 'K' {
			s, scale = s[:len(s)-1], 1000
		}
	}
	x, err := parseNumber(s)
	if err != nil || x*scale >= math.MaxInt64 {
		return 0, errCount
	}
	return max(1, int64(x*scale)), nil
}

// parseBytes reads 64M, 64MB and 64MiB.
func parseBytes(s string) (int64, error) {
	digits := strings.TrimSuffix(s, "B")
	if binary, ok := strings.CutSuffix(digits, "i"); ok && binary != "" {
		if i := strings.IndexByte("KMGT", binary[len(binary)-1]); i >= 0 {
			if x, err := parseNumber(binary[:len(binary)-1]); err == nil && x < 1<<20 {
				return max(1, int64(x*math.Pow(1024, float64(i+1)))), nil
			}
		}
	} else if n, err := parseCount(digits); err == nil {
		return n, nil
	}
	return 0, errors.New("want a number of bytes above 0, such as 64M, 64MB or 64MiB, or a share of the base's, such as 90%")
}

func parseLatency(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errors.New("want a time above 0 with its unit, such as 20ms")
	}
	return d, nil
}

func parseGrowth(s string) (*float64, error) {
	digits, ok := strings.CutSuffix(s, "%")
	x, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(x >= 0) || math.IsInf(x, 0) {
		return nil, errors.New("want a percentage, 0% or more, such as 5%")
	}
	return &x, nil
}

func parseBool(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, errors.New("want true or false")
	}
	return s == "true", nil
}

func oneOf(field *string, value string, among ...string) error {
	if !slices.Contains(among, value) {
		return errors.New("want " + alternatives(among) + suggestion(value, among))
	}
	*field = value
	return nil
}

func nonEmpty(values []string) error {
	if slices.Contains(values, "") {
		return errors.New("an entry is empty")
	}
	return nil
}

// validPattern checks the syntax of a pattern for match.
func validPattern(pattern string) error {
	for part := range strings.SplitSeq(pattern, "/") {
		if _, err := path.Match(part, ""); err != nil || part == "" {
			return fmt.Errorf("is no pattern, want one such as mobile/**/*.onnx, relative to the configuration's folder")
		}
	}
	return nil
}

// match reports whether a path with slashes matches a pattern, in which **
// stands for any number of folders.
func match(pattern, name string) bool {
	parts, names := strings.Split(pattern, "/"), strings.Split(name, "/")
	// reach[i]: the parts so far match the first i names.
	reach := make([]bool, len(names)+1)
	reach[0] = true
	for _, part := range parts {
		next := make([]bool, len(names)+1)
		for i := range reach {
			switch {
			case part == "**":
				next[i] = reach[i] || i > 0 && next[i-1]
			case i > 0 && reach[i-1]:
				next[i], _ = path.Match(part, names[i-1])
			}
		}
		reach = next
	}
	return reach[len(names)]
}
