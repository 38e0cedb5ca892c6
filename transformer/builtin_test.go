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
		if data, err := g.Encode(); err != nil || len(data) > 300_000 {
			t.Errorf("%s is %d bytes (%v), want at most 300,000", name, len(data), err)
		}
		if card.Name != name || card.Training == "" || !strings.HasPrefix(card.Command, "natonnx train ") || len(card.Scores) == 0 {
			t.Errorf("%s: card %+v is not complete", name, card)
		}
	}
	for _, rules := range []Rules{NAT, NATPlusPlus} {
		g, err := Builtin(DefaultPolicyOf(rules))
		if err != nil || g.Card().Rules != rules.Name {
			t.Errorf("the default policy of %s has rules %q (%v)", rules.Name, g.Card().Rules, err)
		}
	}
	if _, err := Builtin("nosuch"); err == nil || !strings.Contains(err.Error(), DefaultPolicy) {
		t.Errorf("error %v, want one that names the policies there are", err)
	}
}
