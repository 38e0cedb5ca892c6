package train

import (
	"fmt"
	"io"
	"os"
	"strconv"
)

// A Latency holds how long a device takes for the networks of all
// NAS-Bench-201 cells.
type Latency struct {
	Device string
	ms     [Cells201]float64
}

// OpenLatency reads the latencies of one device from a CSV file with the column
// arch, for architecture strings, and a column for each device, in
// milliseconds. A device that is not there is a [*ColumnError].
func OpenLatency(path, device string) (*Latency, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadLatency(path, f, device)
}

// ReadLatency is [OpenLatency] for an open file; name is what errors call it.
func ReadLatency(name string, r io.Reader, device string) (*Latency, error) {
	l := &Latency{Device: device}
	err := eachCell(name, r, []string{"arch", device}, 0, func(cell int, row []string) error {
		x, err := strconv.ParseFloat(row[1], 64)
		if err != nil || !(x > 0 && x < maxLatency) {
			return fmt.Errorf("%s is %q, want milliseconds", device, row[1])
		}
		l.ms[cell] = x
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// maxLatency, in milliseconds, is more than any cell's network takes: an hour.
const maxLatency = 3600e3

// Of returns the latency of a cell's network, in milliseconds.
func (l *Latency) Of(cell int) float64 { return l.ms[cell] }
