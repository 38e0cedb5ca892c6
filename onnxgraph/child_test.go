package onnxgraph_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Memory is measured in a process of its own, which is this test binary again
// with its arguments in $ONNXGRAPH_CHILD.
const childEnv = "ONNXGRAPH_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		args := strings.Split(job, "\n")
		if err := childJobs[args[0]](args[1:]); err != nil {
			fmt.Println(err)
		}
		fmt.Println("VmHWM", peakMemory())
		return
	}
	os.Exit(m.Run())
}

var childJobs = map[string]func(args []string) error{
	"nothing": func([]string) error { return nil },
	"open": func(args []string) error {
		_, err := onnxgraph.Open(args[0])
		return err
	},
	"validate": func(args []string) error {
		m, err := onnxgraph.Open(args[0])
		if err != nil {
			return err
		}
		return m.Validate()
	},
	// edit makes a small change and saves, perhaps under a limit.
	"edit": func(args []string) error {
		if len(args) > 2 {
			if err := limits[args[2]](args[1]); err != nil {
				return err
			}
		}
		m, err := onnxgraph.Open(args[0])
		if err != nil {
			return err
		}
		if m, err = m.Apply(detour(m.Graph.Nodes[0])); err != nil {
			return err
		}
		start := time.Now()
		err = m.Save(context.Background(), args[1])
		fmt.Println("seconds", time.Since(start).Seconds())
		return err
	},
}

// detour sends a node's first output through an Identity.
func detour(n *onnxgraph.Node) *onnxgraph.Patch {
	was := n.Outputs[0] + "/was"
	return &onnxgraph.Patch{Rule: "detour",
		Rename: []onnxgraph.Rename{{Node: n, To: was}},
		Add:    []*onnxgraph.Node{onnxgraph.NewNode("Identity", "detour "+n.Outputs[0], []string{was}, []string{n.Outputs[0]})}}
}

// peakMemory is the largest resident size of this process so far, in bytes, or 0.
func peakMemory() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}

// child is what a job in its own process printed and took.
type child struct {
	out    string // the error, or ""
	took   time.Duration
	memory int64 // peak, in bytes
}

func runChild(t testing.TB, args ...string) child {
	t.Helper()
	if peakMemory() == 0 {
		t.Skip("this system does not tell the peak memory of a process")
	}
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(args, "\n"))
	start := time.Now()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("child: %v\n%.2000s", err, out)
	}
	must(t, err)
	c := child{took: time.Since(start)}
	text, memory, _ := strings.Cut(string(out), "VmHWM ")
	c.out = strings.TrimSpace(text)
	c.memory, err = strconv.ParseInt(strings.TrimSpace(memory), 10, 64)
	must(t, err)
	return c
}
