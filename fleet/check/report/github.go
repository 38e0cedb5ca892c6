package report

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/natonnx/natonnx/fleet/check"
	"github.com/natonnx/natonnx/internal/legible"
)

// github writes a workflow command for each finding and a last line for people.
// GitHub shows ten errors, warnings and notices each, so the gravest of all
// models come first.
//
// Source: GitHub's documentation of workflow commands; the escapes are those of
// the command.ts of @actions/core.
func github(w *bufio.Writer, r *check.Report, _ Options) error {
	var all []check.Finding
	for _, result := range r.Results {
		all = append(all, result.Findings...)
	}
	for _, f := range gravest(all) {
		message := f.Message
		if f.Where != "" {
			message = f.Where + ": " + message
		}
		fmt.Fprintf(w, "::%s file=%s,title=%s::%s\n", command(f.Severity), property(f.Path), property(title(f.Rule)), data(message))
	}
	fmt.Fprintf(w, "natonnx check %s\n", summary(r))
	return nil
}

// command is the workflow command of a severity.
func command(s check.Severity) string {
	return [...]string{"notice", "warning", "error"}[grade(s)]
}

var (
	escapeData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func data(s string) string     { return escapeData.Replace(visible(s)) }
func property(s string) string { return escapeProperty.Replace(visible(s)) }

// visible replaces what logs cannot show, line breaks apart.
func visible(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		parts := strings.Split(line, "\r")
		for j := range parts {
			parts[j] = legible.Line(parts[j])
		}
		lines[i] = strings.Join(parts, "\r")
	}
	return strings.Join(lines, "\n")
}
