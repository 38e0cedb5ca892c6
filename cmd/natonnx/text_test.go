package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// Names in a model must not drive the terminal that shows them.
func TestCleanTakesControlAway(t *testing.T) {
	for in, want := range map[string]string{
		"layer1.0/conv":     "layer1.0/conv",
		"Überschrift ×5 層":  "Überschrift ×5 層",
		"\x1b[2Jgone":       "\uFFFD[2Jgone",
		"a\r\nb\tc":         "a\uFFFD b c",
		"\u202eevil\u200b":  "\uFFFDevil\uFFFD",
		"broken \xff\xfe":   "broken \uFFFD\uFFFD",
		"\u009b31m C1 code": "\uFFFD31m C1 code",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	got := wrap("one two three four incomprehensibilities", 9, 5)
	if want := []string{"one two", "three", "four", "incomprehensibilities"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTableFitsThePage(t *testing.T) {
	tab := &table{indent: 2, numbers: []bool{false, true, true}, optional: 1}
	tab.add("", "before", "after")
	tab.add("a name that is rather long", "12345678", "87654321")
	for width, want := range map[int]string{
		80: "  a name that is rather long  12345678  87654321",
		44: "  a name that is rather…  12345678  87654321",
		36: "  a name that is rather l…  12345678",
		24: "  a name that…  12345678",
	} {
		var b bytes.Buffer
		(&page{w: &b, width: width}).table(tab)
		if got := strings.Split(b.String(), "\n")[1]; got != want {
			t.Errorf("on %d columns: %q, want %q", width, got, want)
		}
	}
}
