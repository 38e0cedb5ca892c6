package report

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/natonnx/natonnx/fleet/check"
)

// repository is where the rules' pages are: SARIF wants absolute addresses.
const repository = "https://github.com/natonnx/natonnx"

// The objects of SARIF 2.1.0 that natonnx writes, by the names of the
// specification (OASIS, sections 3.13 to 3.58).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		ColumnKind  string            `json:"columnKind"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID        string       `json:"id"`
		Name      string       `json:"name"`
		Short     sarifMessage `json:"shortDescription"`
		Full      sarifMessage `json:"fullDescription"`
		Help      sarifMessage `json:"help"`
		HelpURI   string       `json:"helpUri"`
		Configure sarifLevel   `json:"defaultConfiguration"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		ExitCode      int                 `json:"exitCode"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Rule      sarifReference  `json:"associatedRule"`
		Level     string          `json:"level"`
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifReference struct {
		ID    string `json:"id"`
		Index int    `json:"index"` // in the rules; -1: none of them
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifMessage      `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Properties   map[string]string `json:"properties,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
)

// sarif writes a report in the Static Analysis Results Interchange Format.
func sarif(w *bufio.Writer, r *check.Report, o Options) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{"natonnx", r.Version, repository, sarifRules()}},
		ColumnKind: "unicodeCodePoints", Results: []sarifResult{},
	}
	invocation := sarifInvocation{Successful: true, ExitCode: o.ExitCode}
	seen := map[string]int{}
	for _, result := range r.Results {
		for _, f := range result.Findings {
			run.Results = append(run.Results, newSarifResult(f, seen))
		}
		for _, s := range result.Skipped {
			invocation.Notifications = append(invocation.Notifications, sarifNotification{
				sarifReference{s.Rule, ruleIndex(s.Rule)}, "note", plainMessage("not checked: " + s.Reason), []sarifLocation{location(result.Path, "")},
			})
		}
	}
	run.Invocations = []sarifInvocation{invocation}
	return writeJSON(w, sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}

func sarifRules() (list []sarifRule) {
	for _, r := range check.Rules {
		list = append(list, sarifRule{
			r.ID, r.Name, sarifMessage{r.Summary}, sarifMessage{"Holds where " + r.Summary + "."}, sarifMessage{"To do: " + r.Fix + "."},
			repository + "/blob/main/" + r.Page(), sarifLevel{string(r.Severity)},
		})
	}
	return list
}

func newSarifResult(f check.Finding, seen map[string]int) sarifResult {
	text := f.Message
	if f.Where != "" {
		text = f.Where + ": " + text
	}
	result := sarifResult{
		RuleID: f.Rule, RuleIndex: ruleIndex(f.Rule), Level: string(f.Severity), Message: plainMessage(text),
		Locations: []sarifLocation{location(f.Path, f.Where)}, Fingerprints: map[string]string{"primaryLocationLineHash": fingerprint(f, seen)},
	}
	if f.Wanted != "" || f.Found != "" {
		result.Properties = map[string]string{"wanted": f.Wanted, "found": f.Found}
	}
	return result
}

// plainMessage is a message in which [text](address) is no link: viewers make
// one of it (section 3.11.6).
func plainMessage(s string) sarifMessage {
	return sarifMessage{strings.ReplaceAll(s, "](", "] (")}
}

// location names a model and a place in it. A model has no lines, but code
// scanning shows no result without one.
func location(path, where string) sarifLocation {
	l := sarifLocation{Physical: sarifPhysical{sarifArtifact{uri(path)}, sarifRegion{1}}}
	if where != "" {
		l.Logical = []sarifLogical{{where}}
	}
	return l
}

var index = regexp.MustCompile(`\[\d+\]`)

// fingerprint recognises a finding in a later run: numbers in its message may
// change and nodes move, so it is made of the rule, the file, the names in the
// place, and how many such there were before. Code scanning reads it in the form
// HASH:NUMBER.
func fingerprint(f check.Finding, seen map[string]int) string {
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + f.Path + "\x00" + index.ReplaceAllString(f.Where, "[]")))
	key := hex.EncodeToString(sum[:8])
	seen[key]++
	return fmt.Sprintf("%s:%d", key, seen[key])
}

// uri writes a path with slashes as a reference of RFC 3986; an absolute path
// becomes a file URI.
func uri(path string) string {
	var b strings.Builder
	switch {
	case strings.HasPrefix(path, "/"):
		b.WriteString("file://")
	case len(path) > 2 && path[1] == ':' && path[2] == '/':
		b.WriteString("file:///")
	}
	for _, c := range []byte(path) {
		if c == '/' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
