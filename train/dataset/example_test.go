package dataset_test

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"log"
	"os"
	"path/filepath"

	"github.com/natonnx/natonnx/train/dataset"
)

// A folder of class folders is read in batches.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"cat/1.png", "cat/2.png", "dog/1.png"} {
		if err := picture(filepath.Join(dir, name)); err != nil {
			log.Fatal(err)
		}
	}

	how, err := dataset.ParsePreprocess("imagenet")
	if err != nil {
		log.Fatal(err)
	}
	data, err := dataset.Open(dir, how)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(data.Kind(), data.Classes(), data.Len(), "samples of shape", data.Shape())
	for batch, err := range data.Load(context.Background(), dataset.LoadOptions{Batch: 2}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(batch.Labels), "samples, labels", batch.Labels)
	}
	// Output:
	// class folders [cat dog] 3 samples of shape [3 224 224]
	// 2 samples, labels [0 0]
	// 1 samples, labels [1]
}

func picture(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return png.Encode(f, image.NewGray(image.Rect(0, 0, 300, 260)))
}
