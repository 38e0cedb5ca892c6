package batch_test

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/fleet/batch"
	"github.com/natonnx/natonnx/onnxgraph"
)

// A batch that counts the nodes of every model. Done twice, it works once.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	zoo, out := filepath.Join(dir, "zoo"), filepath.Join(dir, "out")
	if err := makeZoo(zoo); err != nil {
		fmt.Println(err)
		return
	}
	task := &batch.Task{
		Name:   "nodes",
		Recipe: []string{"version 1"},
		Output: func(name string) string { return name + ".txt" },
		Do: func(_ context.Context, item batch.Item, dir string) (batch.Outcome, error) {
			m, err := onnxgraph.Open(item.Input)
			if err != nil {
				return batch.Outcome{}, err
			}
			text := fmt.Sprintln(len(m.Graph.Nodes))
			return batch.Outcome{Status: batch.Done}, os.WriteFile(filepath.Join(dir, path.Base(item.Name)+".txt"), []byte(text), 0o666)
		},
	}
	for range 2 {
		items, err := batch.Find(context.Background(), []string{zoo}, out, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		report, err := batch.Run(context.Background(), batch.Options{Dir: out}, task, items)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, row := range report.Rows {
			fmt.Println(row.Name, row.Status)
		}
	}
	// Output:
	// broken.onnx failed
	// small/resnet14.onnx done
	// broken.onnx failed
	// small/resnet14.onnx skipped
}

func makeZoo(dir string) error {
	m, err := fixtures.Build("resnet14", fixtures.Options{Width: 0.5})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "small"), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.onnx"), []byte("text"), 0o666); err != nil {
		return err
	}
	return m.Save(context.Background(), filepath.Join(dir, "small", "resnet14.onnx"))
}
