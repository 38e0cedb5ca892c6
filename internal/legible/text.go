package legible

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line writes a text on one line. What a terminal would obey, what turns the
// direction of writing and what XML does not allow becomes U+FFFD.
func Line(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// Clip cuts a text to n characters, of which the last is an ellipsis then.
func Clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	n = max(n, 1)
	return string([]rune(s[:min(len(s), n*utf8.UTFMax)])[:n-1]) + "…"
}

// Uncomputed keeps spreadsheets from taking a text for a formula.
func Uncomputed(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

// ShellWord quotes what a POSIX shell would not take for one plain word.
func ShellWord(s string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./:,=%+@", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
