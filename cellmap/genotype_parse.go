package cellmap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a genotype's text. The largest published cell has 5 nodes and its
// genotype 700 bytes; real networks stay far below these.
const (
	maxGenotypeText = 1 << 20
	maxCellNode     = 1 << 12
)

// ParseGenotype reads a genotype in the authors' tuple form, as
// Genotype.String and their code write it:
//
//	Genotype(normal=[('conv_3x3', 0, 2), ...], normal_concat=[2, 3], reduce=[...], reduce_concat=range(2, 4))
//
// Like Python, it takes fields in any order, either kind of quote, trailing
// commas, any white space, and an assignment in front ("DARTS = "). An error
// names the line and column, what was wanted there and what was found.
func ParseGenotype(text string) (Genotype, error) {
	if len(text) > maxGenotypeText {
		return Genotype{}, fmt.Errorf("genotype: %d bytes: want at most %d", len(text), maxGenotypeText)
	}
	p := genotypeParser{text: text}
	g := p.genotype()
	if p.err != nil {
		return Genotype{}, p.err
	}
	if err := g.Validate(); err != nil {
		return Genotype{}, fmt.Errorf("genotype: %w", err)
	}
	return g, nil
}

// genotypeParser reads left to right; after the first fault, err is set and
// every further call does nothing.
type genotypeParser struct {
	text string
	pos  int
	err  error
}

func (p *genotypeParser) genotype() (g Genotype) {
	p.space()
	start := p.pos
	name := p.word()
	if p.take("=") {
		p.space()
		start = p.pos
		name = p.word()
	}
	if name != "Genotype" {
		p.pos = start
		p.want("Genotype(")
		return g
	}
	var seen []string
	p.list("(", ")", func() {
		start := p.pos
		field := p.word()
		if slices.Contains(seen, field) {
			p.pos = start
			p.want("each field once")
			return
		}
		seen = append(seen, field)
		p.expect("=")
		switch field {
		case "normal":
			g.Normal.Edges = p.edges()
		case "normal_concat":
			g.Normal.Concat = p.nodes()
		case "reduce":
			g.Reduce.Edges = p.edges()
		case "reduce_concat":
			g.Reduce.Concat = p.nodes()
		default:
			p.pos = start
			p.want("normal, normal_concat, reduce or reduce_concat")
		}
	})
	if p.err == nil && len(seen) < 4 {
		p.want("all of normal, normal_concat, reduce and reduce_concat")
	}
	if p.space(); p.err == nil && p.pos < len(p.text) {
		p.want("the end")
	}
	return g
}

func (p *genotypeParser) edges() (edges []FormEdge) {
	p.list("[", "]", func() {
		var e FormEdge
		p.expect("(")
		e.Op = Op(p.quoted())
		p.expect(",")
		e.From = p.node()
		p.expect(",")
		e.To = p.node()
		p.take(",")
		p.expect(")")
		edges = append(edges, e)
	})
	return edges
}

// nodes reads a list of nodes, or a range.
func (p *genotypeParser) nodes() (nodes []int) {
	if p.take("range") {
		p.expect("(")
		from := p.node()
		p.expect(",")
		to := p.node()
		p.expect(")")
		for n := from; n < to && p.err == nil; n++ {
			nodes = append(nodes, n)
		}
		return nodes
	}
	p.list("[", "]", func() { nodes = append(nodes, p.node()) })
	return nodes
}

// list reads elements between brackets, separated by commas.
func (p *genotypeParser) list(open, end string, element func()) {
	p.expect(open)
	for p.err == nil && !p.take(end) {
		element()
		if !p.take(",") {
			p.expect(end)
			return
		}
	}
}

func (p *genotypeParser) word() string {
	p.space()
	start := p.pos
	for p.pos < len(p.text) && isWordByte(p.text[p.pos]) {
		p.pos++
	}
	if start == p.pos {
		p.want("a name")
	}
	return p.text[start:p.pos]
}

func (p *genotypeParser) quoted() string {
	p.space()
	if p.err != nil || p.pos == len(p.text) || !strings.ContainsRune(`'"`, rune(p.text[p.pos])) {
		p.want("an operation in quotes")
		return ""
	}
	start := p.pos + 1
	n := strings.IndexByte(p.text[start:], p.text[p.pos])
	if n < 0 || strings.ContainsAny(p.text[start:start+n], "\\\n") {
		p.want("an operation in quotes")
		return ""
	}
	op := p.text[start : start+n]
	if !Op(op).known() {
		p.want("null, skip_connect or a kind with its kernel, such as conv_3x3")
	}
	p.pos = start + n + 1
	return op
}

func (p *genotypeParser) node() int {
	p.space()
	start := p.pos
	for p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9' {
		p.pos++
	}
	n, err := strconv.Atoi(p.text[start:p.pos])
	if err != nil || n > maxCellNode {
		p.pos = start
		p.want(fmt.Sprintf("a node, from 0 to %d", maxCellNode))
		return 0
	}
	return n
}

func (p *genotypeParser) take(token string) bool {
	p.space()
	if p.err != nil || !strings.HasPrefix(p.text[p.pos:], token) {
		return false
	}
	p.pos += len(token)
	return true
}

func (p *genotypeParser) expect(token string) {
	if !p.take(token) {
		p.want(fmt.Sprintf("%q", token))
	}
}

func (p *genotypeParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// want records the first fault, at the current place.
func (p *genotypeParser) want(what string) {
	if p.err != nil {
		return
	}
	before := p.text[:p.pos]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	p.err = fmt.Errorf("genotype: line %d, column %d: want %s, found %s", line, column, what, p.found())
}

// found names the token at the current place.
func (p *genotypeParser) found() string {
	rest := p.text[p.pos:]
	if rest == "" {
		return "the end"
	}
	n := 0
	if rest[0] == '\'' || rest[0] == '"' {
		n = strings.IndexByte(rest[1:], rest[0]) + 2
	}
	for n < len(rest) && n < 40 && isWordByte(rest[n]) {
		n++
	}
	if n = min(n, 40); n <= 1 {
		_, n = utf8.DecodeRuneInString(rest)
	}
	return strconv.Quote(rest[:n])
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
