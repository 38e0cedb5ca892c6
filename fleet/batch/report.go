package batch

import (
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/natonnx/natonnx/internal/legible"
)

// A Report is what became of the models of a batch. docs/schema/batch-v1.json
// describes its JSON.
type Report struct {
	Schema      int            `json:"schema_version"`
	Version     string         `json:"natonnx_version"`
	Task        string         `json:"task"`
	Recipe      []string       `json:"recipe"` // all that outputs depend on beside the models
	Dir         string         `json:"output_folder"`
	Shard       string         `json:"shard"`  // I/N
	Models      int            `json:"models"` // in the shard
	Interrupted bool           `json:"interrupted"`
	Remaining   int            `json:"remaining"` // models without a row, as the batch was interrupted
	Counts      map[Status]int `json:"counts"`
	Began       time.Time      `json:"began"`
	Seconds     float64        `json:"seconds"`
	Rows        []*Row         `json:"rows"` // sorted by name
}

// SchemaVersion is that of the report's JSON.
const SchemaVersion = 1

// A Row is what became of one model.
type Row struct {
	Name    string   `json:"name"`
	Input   string   `json:"input"`
	Digest  string   `json:"input_sha256"` // with external data; "": it could not be read
	Outputs []Output `json:"outputs"`
	Outcome
	// Recorded says that an earlier run has done the work.
	Recorded bool    `json:"recorded"`
	Seconds  float64 `json:"seconds"`
	Err      error   `json:"-"` // of a status Failed or Refused of this run
}

// fail notes an error.
func (r *Row) fail(task *Task, err error) {
	status, code, reason := Failed, 1, err.Error()
	if task.Classify != nil {
		status, code, reason = task.Classify(err)
	}
	r.Outcome, r.Err = Outcome{Status: status, Reason: r.short(reason), ExitCode: code}, err
}

// short leaves the model's file out of a reason: the row names it.
func (r *Row) short(reason string) string { return strings.TrimPrefix(reason, r.Input+": ") }

// recall notes what an earlier run has found.
func (r *Row) recall(rec *record) {
	r.Outcome, r.Outputs, r.Recorded = rec.Outcome, rec.Outputs, true
	if !r.Status.Bad() {
		r.Status = Skipped
	}
}

func newReport(r *run, began time.Time) *Report {
	rep := &Report{
		Schema: SchemaVersion, Task: r.task.Name, Recipe: r.task.Recipe, Dir: r.Dir, Shard: r.Shard.String(), Models: len(r.rows),
		Counts: map[Status]int{}, Began: began.UTC().Truncate(time.Second), Seconds: time.Since(began).Seconds(), Rows: []*Row{},
	}
	for _, s := range Statuses {
		rep.Counts[s] = 0
	}
	for _, row := range r.rows {
		if row == nil {
			rep.Remaining++
			continue
		}
		rep.Counts[row.Status]++
		rep.Rows = append(rep.Rows, row)
	}
	rep.Interrupted = rep.Remaining > 0
	return rep
}

// Bad counts the models that somebody has to look at.
func (r *Report) Bad() int { return r.Counts[Failed] + r.Counts[Refused] }

// JSON writes the report as one document.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

var columns = []string{"name", "input", "status", "exit_code", "reason", "params_before", "params_after", "multiply_adds_before", "multiply_adds_after",
	"cells", "moves", "drift", "input_sha256", "output", "output_sha256", "output_bytes", "recorded", "seconds"}

// CSV writes a line per model. Of several outputs it has the main one. Text that
// spreadsheets would compute begins with an apostrophe.
func (r *Report) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write(columns)
	for _, row := range r.Rows {
		main := row.Main()
		size := ""
		if main.Path != "" {
			size = strconv.FormatInt(main.Bytes, 10)
		}
		before, after := row.Before.strings(), row.After.strings()
		c.Write([]string{legible.Uncomputed(row.Name), legible.Uncomputed(row.Input), string(row.Status), strconv.Itoa(row.ExitCode), legible.Uncomputed(row.Reason),
			before[0], after[0], before[1], after[1], number(row.Cells), number(row.Moves), number(row.Drift),
			row.Digest, legible.Uncomputed(main.Path), main.Digest, size, strconv.FormatBool(row.Recorded), strconv.FormatFloat(row.Seconds, 'f', 3, 64)})
	}
	c.Flush()
	return c.Error()
}

// Main returns the main output; zero: there is none.
func (r *Row) Main() Output {
	if len(r.Outputs) == 0 {
		return Output{}
	}
	return r.Outputs[len(r.Outputs)-1]
}

func (c *Cost) strings() [2]string {
	if c == nil {
		return [2]string{}
	}
	return [2]string{strconv.FormatInt(c.Params, 10), strconv.FormatInt(c.MultiplyAdds, 10)}
}

func number[T int | float64](n *T) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"amount": amount, "number": number[int], "drift": number[float64], "change": change, "rounded": rounded,
	"short": func(digest string) string { return digest[:min(12, len(digest))] },
	"kind":  func(s Status) string { return "is-" + string(s[0]) }, // the first letter tells them apart
}).Parse(page))

// HTML writes the report as one page that needs nothing else.
func (r *Report) HTML(w io.Writer) error {
	return pageTemplate.Execute(w, struct {
		*Report
		Statuses []Status
	}{r, Statuses})
}

// amount writes a count in four digits at most: 1.81 G.
func amount(n int64) string {
	x, unit := float64(n), 0
	for ; x >= 999.5 && unit < 4; unit++ {
		x /= 1000
	}
	if unit == 0 {
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatFloat(x, 'g', 3, 64) + " " + string("kMGT"[unit-1])
}

// change writes by how many percent a count grew or shrank; "": not worth a word.
func change(before, after int64) string {
	percent := 100 * (float64(after) - float64(before)) / float64(max(before, 1))
	if before == 0 || math.Abs(percent) < 0.05 {
		return ""
	}
	return fmt.Sprintf("%+.1f %%", percent)
}

func rounded(x *float64) string {
	if x == nil {
		return ""
	}
	return strconv.FormatFloat(*x, 'g', 3, 64)
}
