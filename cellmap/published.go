package cellmap

import (
	_ "embed"
	"strings"
)

// The genotypes that the authors of NAT and NAT++ published with their code: what
// they started from, and under NAT_ and NATv2_ what became of that.
//
//go:embed published.txt
var published string

// PublishedNames lists the published genotypes, in the authors' order.
func PublishedNames() (names []string) {
	for line := range strings.Lines(published) {
		name, _, _ := strings.Cut(line, " = ")
		names = append(names, name)
	}
	return names
}

// PublishedGenotype returns a published genotype by its name.
func PublishedGenotype(name string) (g Genotype, ok bool) {
	for line := range strings.Lines(published) {
		if rest, found := strings.CutPrefix(line, name+" = "); found {
			g, err := ParseGenotype(rest)
			return g, err == nil
		}
	}
	return g, false
}
