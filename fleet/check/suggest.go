package check

import (
	"fmt"
	"strings"

	"github.com/natonnx/natonnx/internal/typo"
)

// unknown says that there is no such key or rule, and which one was meant.
func unknown(at, what, found string, known []string) *ConfigError {
	err := &ConfigError{At: at, Msg: fmt.Sprintf("there is no %s %q", what, found)}
	if near := typo.Nearest(found, known); near != "" {
		err.Hint = "did you mean " + near + "?"
	} else if what == "rule" {
		err.Hint = fmt.Sprintf("the rules are %s to %s", Rules[0].ID, Rules[len(Rules)-1].ID)
	} else {
		err.Hint = "the keys are: " + strings.Join(known, ", ")
	}
	return err
}

// wantOneOf says what could stand in the place of a value that what names.
func wantOneOf(at, what, found string, among []Severity) *ConfigError {
	var list []string
	for _, s := range among {
		list = append(list, string(s))
	}
	return &ConfigError{At: at, Msg: fmt.Sprintf("%s: want %s", what, alternatives(list)+suggestion(found, list))}
}

func suggestion(found string, among []string) string {
	if near := typo.Nearest(found, among); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

func alternatives(list []string) string {
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}
