package report

import (
	"bufio"
	"encoding/json"
	"math"

	"github.com/natonnx/natonnx/fleet/check"
)

// schemaVersion is that of docs/schema/check-v1.json. Fields are added without
// raising it; it rises when one is renamed, removed or given another meaning.
const schemaVersion = 1

// document writes a report as one JSON document.
func document(w *bufio.Writer, r *check.Report, _ Options) error {
	d := struct {
		SchemaVersion int `json:"schema_version"`
		*check.Report
		Failed  bool         `json:"failed"`
		Results []resultFact `json:"results"`
	}{schemaVersion, r, r.Failed(), []resultFact{}}
	for i := range r.Results {
		result := &r.Results[i]
		d.Results = append(d.Results, resultFact{result, result.Failed(r.FailOn), newMeasuresFact(result.Measures), newMeasuresFact(result.Base)})
	}
	return writeJSON(w, d)
}

func writeJSON(w *bufio.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// A resultFact is a result whose numbers JSON can hold.
type resultFact struct {
	*check.Result
	Failed   bool          `json:"failed"`
	Measures *measuresFact `json:"measures"`
	Base     *measuresFact `json:"base"`
}

type measuresFact struct {
	*check.Measures
	Drift *driftFact `json:"drift"`
}

// A driftFact is a drift. Numbers that are not finite are null.
type driftFact struct {
	*check.Drift
	MaxAbs   *float64 `json:"max_abs"`
	Relative *float64 `json:"relative"`
}

func newMeasuresFact(m *check.Measures) *measuresFact {
	if m == nil {
		return nil
	}
	f := &measuresFact{Measures: m}
	if d := m.Drift; d != nil {
		f.Drift = &driftFact{d, finite(d.MaxAbs), finite(d.Relative)}
	}
	return f
}

func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
