package transformer

import (
	"strings"
	"testing"
)

func TestBuiltin(t *testing.T) {
	for _, name := range Builtins() {
		g, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		card := g.Card()
		if card.Name != name || card.Training == "" || !strings.HasPrefix(card.Command, "natonnx train policy ") || len(card.Scores) == 0 {
			t.Errorf("%s: card %+v is not complete", name, card)
		}
	}
	if len(natGCN) > 300_000 {
		t.Errorf("the built-in policy is %d bytes, want at most 300,000", len(natGCN))
	}
	if _, err := Builtin("nosuch"); err == nil || !strings.Contains(err.Error(), DefaultPolicy) {
		t.Errorf("error %v, want one that names the policies there are", err)
	}
}
