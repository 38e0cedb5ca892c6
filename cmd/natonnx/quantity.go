package main

import (
	"fmt"
	"strconv"
)

// amount writes a count with four digits and a suffix: 1.814 G.
func amount(n int64) string {
	if n < 0 {
		return "-" + amount(-n)
	}
	return scaled(n, "", " k", " M", " G", " T")
}

// size writes a number of bytes: 46.83 MB.
func size(n int64) string { return scaled(n, " B", " kB", " MB", " GB", " TB") }

// scaled writes n in units of 1000 from each other.
func scaled(n int64, units ...string) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + units[0]
	}
	x, unit := float64(n)/1000, units[1]
	for _, u := range units[2:] {
		if x < 999.95 {
			break
		}
		x, unit = x/1000, u
	}
	digits := 3
	for limit := 9.9995; x >= limit && digits > 1; limit *= 10 {
		digits--
	}
	return strconv.FormatFloat(x, 'f', digits, 64) + unit
}

// change writes by how much a number grew or shrank.
func change(before, after int64) string {
	switch {
	case before == after:
		return "same"
	case before == 0:
		return "new"
	}
	percent := 100 * (float64(after) - float64(before)) / float64(before)
	if percent > -0.05 && percent < 0.05 {
		return fmt.Sprintf("%+d", after-before)
	}
	return fmt.Sprintf("%+.1f%%", percent)
}
