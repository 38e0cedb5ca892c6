package diff

import (
	"encoding/json"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// A Stamp is what natonnx notes in the metadata of a model that it rewrites. It
// is what the file says, which need not be true of the other model.
type Stamp struct {
	Of       string        `json:"of"` // which model has it: before or after
	Version  string        `json:"version"`
	Mode     string        `json:"mode"`
	Policy   string        `json:"policy"`
	Rules    string        `json:"rules"`
	Seed     string        `json:"seed"`
	SkipInit string        `json:"skip_init"`
	Retrain  string        `json:"retrain"` // required, optional or no
	Moves    []StampedMove `json:"moves"`
}

// A StampedMove is a move as natonnx notes it; see Move.
type StampedMove struct {
	Cell string `json:"cell"`
	Node int    `json:"node"`
	Slot int    `json:"slot"`
	From string `json:"from"`
	To   string `json:"to"`
}

// prefix is that of natonnx's own keys of the metadata.
const prefix = "natonnx."

// newStamp returns the stamp of the rewritten model: of b, or else of a.
func newStamp(a, b *onnxgraph.Model) *Stamp {
	before, after := stamped(a), stamped(b)
	switch {
	case after["moves"] != "" && after["moves"] != before["moves"]:
		return readStamp("after", after)
	case before["moves"] != "" && after["moves"] == "":
		return readStamp("before", before)
	}
	return nil
}

func stamped(m *onnxgraph.Model) map[string]string {
	own := map[string]string{}
	for _, p := range m.Metadata {
		if key, ok := strings.CutPrefix(p.Key, prefix); ok {
			own[key] = p.Value
		}
	}
	return own
}

// readStamp returns nil where the moves are not what natonnx writes.
func readStamp(of string, m map[string]string) *Stamp {
	s := &Stamp{
		Of: of, Version: m["version"], Mode: m["mode"], Policy: m["policy"], Rules: m["rules"],
		Seed: m["seed"], SkipInit: m["skip_init"], Retrain: m["retrain"],
	}
	if json.Unmarshal([]byte(m["moves"]), &s.Moves) != nil || s.Moves == nil {
		return nil
	}
	return s
}
