package train

import (
	"math"
	"math/rand/v2"
	"strings"

	"github.com/natonnx/natonnx/transformer"
)

// initialParams draws the weights that training starts from.
func initialParams(rng *rand.Rand, embed, hidden int) []transformer.Param {
	params := transformer.GCNParams(transformer.NAT, embed, hidden)
	for i, p := range params {
		data := make([]float64, p.Rows*p.Cols)
		for j := range data {
			switch {
			case p.Name == "op" || p.Name == "input":
				data[j] = rng.NormFloat64() // as in the authors' embeddings
			case strings.Contains(p.Name, "gate"):
				data[j] = 1 + rng.NormFloat64()/2 // near the published constant 1
			case strings.Contains(p.Name, "bias"):
			case p.Name == "fc": // nearly uniform distributions, so that all actions are tried
				data[j] = rng.NormFloat64() / 100
			default:
				data[j] = (2*rng.Float64() - 1) * math.Sqrt(3/float64(p.Rows))
			}
		}
		params[i].Data = data
	}
	return params
}

// publish gives a weight that the authors' network lacks the value that takes
// it out of ours, and reports whether p is one.
func publish(p transformer.Param) bool {
	value := 0.0
	switch {
	case strings.Contains(p.Name, ".gate_"):
		value = 1
	case strings.HasSuffix(p.Name, ".self"), strings.HasSuffix(p.Name, ".out"), p.Name == "edge.from", p.Name == "edge.own":
	default:
		return false
	}
	for i := range p.Data {
		p.Data[i] = value
	}
	return true
}
