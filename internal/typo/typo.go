// Package typo guesses what a mistyped name meant.
package typo

import "strings"

// Nearest returns the name that looks most like what a typo meant, or "". Names
// of one letter are never meant.
func Nearest(typo string, names []string) string {
	typo = strings.ToLower(typo)
	best, least := "", max(1, len(typo)/3)+1
	for _, name := range names {
		if len(name) == 1 {
			continue
		}
		lower := strings.ToLower(name)
		d := editDistance(typo, lower)
		if strings.HasPrefix(lower, typo) || len(name) > 3 && strings.HasPrefix(typo, lower) {
			d = min(d, 1)
		}
		if d < least {
			best, least = name, d
		}
	}
	return best
}

// editDistance counts insertions, deletions, substitutions and swaps of
// neighbours that lead from a to b.
func editDistance(a, b string) int {
	prev, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range b {
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+differ(a[i], b[j]))
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], prev[j-1]+1)
			}
		}
		prev, row = row, next
	}
	return row[len(b)]
}

func differ(a, b byte) int {
	if a == b {
		return 0
	}
	return 1
}
