// Package legible writes numbers and foreign text so that people can read them.
package legible

import (
	"fmt"
	"math"
	"strconv"
)

// NoBreak is a space at which no line breaks.
const NoBreak = "\u00a0"

// Scaled splits a count into its four leading digits and the prefix of its
// unit: 1814073344 gives "1.814" and "G". Below 1000 it has all its digits and
// no prefix.
func Scaled(n int64) (digits, prefix string) {
	x := float64(n)
	if math.Abs(x) < 1000 {
		return strconv.FormatInt(n, 10), ""
	}
	for _, p := range []string{"k", "M", "G", "T"} {
		x, prefix = x/1000, p
		if math.Abs(x) < 999.95 {
			break
		}
	}
	return FourDigits(x), prefix
}

// Amount writes a count of a unit, which may be "", with four digits and a space
// of the caller's choice: 46.83 MB.
func Amount(n int64, space, unit string) string {
	digits, prefix := Scaled(n)
	if prefix+unit == "" {
		return digits
	}
	return digits + space + prefix + unit
}

// FourDigits writes a number with four digits: at most three behind the point,
// and all before it.
func FourDigits(x float64) string {
	behind := 3
	for limit := 9.9995; math.Abs(x) >= limit && behind > 0; limit *= 10 {
		behind--
	}
	return strconv.FormatFloat(x, 'f', behind, 64)
}

// Grouped writes a number in groups of three digits, which do not break.
func Grouped(n int64) string {
	s, sign := strconv.FormatInt(n, 10), ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return sign + s
}

// Change writes by how many percent a number grew or shrank, with a space of the
// caller's choice before the sign. A change too small for that is written in full.
func Change(before, after int64, space string) string {
	switch {
	case before == after:
		return "same"
	case before == 0:
		return "new"
	}
	percent := 100 * (float64(after) - float64(before)) / float64(before)
	if math.Abs(percent) < 0.05 {
		return fmt.Sprintf("%+d", after-before)
	}
	return fmt.Sprintf("%+.1f%s%%", percent, space)
}

// Plural writes a number of things whose plural ends in s.
func Plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
