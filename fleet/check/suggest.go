package check

import (
	"fmt"
	"strings"
)

// unknown says that there is no such key or rule, and which one was meant.
func unknown(at, what, found string, known []string) *ConfigError {
	err := &ConfigError{At: at, Msg: fmt.Sprintf("there is no %s %q", what, found)}
	if near := nearest(found, known); near != "" {
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
	if near := nearest(found, among); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

func alternatives(list []string) string {
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// nearest returns the name that a typo most likely stands for, or "".
func nearest(typo string, names []string) string {
	best, least := "", max(1, len(typo)/3)+1
	for _, name := range names {
		if d := editDistance(strings.ToLower(typo), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// editDistance counts the letters to insert, delete or replace between a and b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
