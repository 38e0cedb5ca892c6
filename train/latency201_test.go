package train

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
)

func madeUpLatencies() []string {
	lines := []string{"fast,arch,slow\n"}
	for cell := range Cells201 {
		lines = append(lines, fmt.Sprintf("%d,%s,%d.5\n", cell+1, cellString201(cell), cell))
	}
	return lines
}

func TestReadLatency(t *testing.T) {
	lines := madeUpLatencies()
	slices.Reverse(lines[1:])
	l, err := ReadLatency("l.csv", strings.NewReader(strings.Join(lines, "")), "slow")
	if err != nil {
		t.Fatal(err)
	}
	if l.Device != "slow" || l.Of(0) != 0.5 || l.Of(777) != 777.5 {
		t.Errorf("%s: %v and %v ms, want 0.5 and 777.5", l.Device, l.Of(0), l.Of(777))
	}
	for name, x := range map[string]struct {
		line       int
		with, want string
	}{
		"column":  {0, "fast,cell,slow\n", `l.csv: no column "arch", found fast, cell, slow`},
		"number":  {3, "1," + cellString201(15622) + ",5ms\n", `l.csv:4: slow is "5ms", want milliseconds`},
		"zero":    {3, "1," + cellString201(15622) + ",0\n", `l.csv:4: slow is "0", want milliseconds`},
		"missing": {3, "", "l.csv: no row for cell " + cellString201(15622)},
	} {
		bad := slices.Clone(lines)
		bad[x.line] = x.with
		if _, err := ReadLatency("l.csv", strings.NewReader(strings.Join(bad, "")), "slow"); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, x.want)
		}
	}
	_, err = ReadLatency("l.csv", strings.NewReader(lines[0]), "fpga")
	var missing *ColumnError
	if !errors.As(err, &missing) || missing.Column != "fpga" || !slices.Equal(missing.Found, []string{"fast", "arch", "slow"}) {
		t.Errorf("error %+v, want one that lists the devices", err)
	}
}

// The first row of the published table.
func TestPublishedLatency(t *testing.T) {
	l, err := OpenLatency(corpus.Need(t, "nas", "nasbench201_latency_ms.csv"), "fpga")
	if err != nil {
		t.Fatal(err)
	}
	cell, err := parseCell201("|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|")
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Of(cell); got != 2.57296 {
		t.Errorf("%v ms, want 2.57296", got)
	}
}

// No file, however broken, does more than fail with an error that names it.
func FuzzReadLatency(f *testing.F) {
	lines := madeUpLatencies()
	f.Add([]byte(strings.Join(lines[:50], "")))
	f.Add([]byte(""))
	f.Add([]byte(lines[0]))
	f.Add([]byte(lines[0] + "1,|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,1e999\n"))
	f.Add([]byte("arch,slow,slow\n\"|,\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ReadLatency("x.csv", bytes.NewReader(data), "slow")
		if (l == nil) == (err == nil) {
			t.Fatalf("latencies %v, error %v", l, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "x.csv") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}
