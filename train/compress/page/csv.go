package page

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/train/measure"
)

// columns are the names of the fields of a line. Shares are from 0 to 1; those
// of costs are of the input's, those of qualities come with their 95 % interval
// and with what was counted. Fields of what was not measured are empty.
var columns = []string{"search", "point", "chosen", "front",
	"multiply_adds", "multiply_adds_share", "params", "params_share", "activation_bytes", "activation_bytes_share", "latency_ns", "latency_share",
	"loss_nats", "agreement", "agreement_low", "agreement_high", "agreement_count", "agreement_of",
	"accuracy", "accuracy_low", "accuracy_high", "accuracy_count", "accuracy_of", "moves"}

// writeCSV writes a line per point, those of rivals last. Each search begins
// with the input, point 0. Text that spreadsheets would compute begins with an
// apostrophe.
func writeCSV(w io.Writer, c *Curve) error {
	out := csv.NewWriter(w)
	out.Write(columns) // errors stay in the writer
	for _, r := range c.rows(c.Search, c.Points) {
		out.Write(c.fields(&r))
	}
	for _, rival := range c.Rivals {
		for _, r := range c.rows(rival.Name, rival.Points) {
			r.Chosen = false
			out.Write(c.fields(&r))
		}
	}
	out.Flush()
	return out.Error()
}

func (c *Curve) fields(r *row) []string {
	list := []string{legible.Uncomputed(legible.Line(r.search)), strconv.Itoa(r.number), strconv.FormatBool(r.Chosen), strconv.FormatBool(r.front)}
	was, is := c.Input.Cost, r.Cost
	for _, cost := range [][2]int64{{is.MAdds, was.MAdds}, {is.Params, was.Params}, {is.Memory, was.Memory}} {
		list = append(list, strconv.FormatInt(cost[0], 10), number(share(cost[0], cost[1])))
	}
	if is.Latency > 0 && was.Latency > 0 {
		list = append(list, strconv.FormatInt(int64(is.Latency), 10), number(share(int64(is.Latency), int64(was.Latency))))
	} else {
		list = append(list, "", "")
	}
	list = append(list, number(r.Loss))
	list = append(list, shareFields(&r.Agreement)...)
	list = append(list, shareFields(r.Accuracy)...)
	return append(list, legible.Uncomputed(legible.Line(strings.Join(r.Moves, "; "))))
}

func shareFields(s *measure.Share) []string {
	if s == nil || s.Of == 0 {
		return make([]string, 5)
	}
	low, high := s.Interval()
	return []string{number(s.Value()), number(low), number(high), strconv.Itoa(s.Count), strconv.Itoa(s.Of)}
}

// number writes a number so that it parses back exactly.
func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
