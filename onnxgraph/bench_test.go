package onnxgraph_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/onnxgraph"
)

// BenchmarkSaveVGG16 rewrites a VGG-16 of 553 MB with a small edit, in a process
// of its own, next to cp of the same file in the same folder. Save makes the file
// durable, which cp does not: x_cp compares as they are, x_cp_sync with cp and
// sync of that one file. RSS is the peak of the process that saves.
func BenchmarkSaveVGG16(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "vgg16.onnx")
	writeVGG16(b, path)
	info, err := os.Stat(path)
	must(b, err)
	var save, cp, synced, rss float64
	for b.Loop() {
		saved, copied := filepath.Join(dir, "saved.onnx"), filepath.Join(dir, "copied.onnx")
		c := runChild(b, "edit", path, saved)
		var seconds float64
		if _, err := fmt.Sscanf(c.out, "seconds %f", &seconds); err != nil {
			b.Fatal(c.out)
		}
		save, rss = save+seconds, max(rss, float64(c.memory))

		start := time.Now()
		command(b, "cp", path, copied)
		cp += time.Since(start).Seconds()
		command(b, "sync", copied)
		synced += time.Since(start).Seconds()
		must(b, os.Remove(saved))
		must(b, os.Remove(copied))
	}
	n := float64(b.N)
	b.ReportMetric(float64(info.Size())*n/save/1e6, "MB/s")
	b.ReportMetric(save/cp, "x_cp")
	b.ReportMetric(save/synced, "x_cp_sync")
	b.ReportMetric(rss/1e6, "MB_RSS")
}

// writeVGG16 saves the network from memory, which is freed on return.
func writeVGG16(b *testing.B, path string) {
	m, err := fixtures.Build("vgg16", fixtures.Options{})
	must(b, err)
	must(b, m.Save(context.Background(), path))
}

func command(b *testing.B, args ...string) {
	b.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// chain is a network of n nodes, each with an attribute and value_info.
func chain(n int) []byte {
	s := plain()
	s.nodes = nil
	last := "x"
	for i := range n {
		next := fmt.Sprint("v", i)
		s.nodes = append(s.nodes, node("LeakyRelu", "n"+next, names(last), names(next), pb{}.str(1, "alpha").float(2, 0.5).int(20, 1)))
		s.graphTail = s.graphTail.msg(13, value(next, 1, 3, 8, 8))
		last = next
	}
	s.outputs = []pb{value(last, 1, 3, 8, 8)}
	return s.bytes()
}

// The time of each step per node of large graphs: equal numbers mean linear.
func BenchmarkLargeGraph(b *testing.B) {
	for _, n := range []int{5000, 20000, 80000} {
		data := chain(n)
		m, err := onnxgraph.Parse("chain.onnx", data)
		must(b, err)
		steps := map[string]func() error{
			"parse":    func() error { _, err := onnxgraph.Parse("chain.onnx", data); return err },
			"validate": m.Validate,
			"apply":    func() error { _, err := m.Apply(detour(m.Graph.Nodes[n/2])); return err },
		}
		for name, step := range steps {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					must(b, step())
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/node")
			})
		}
	}
}
