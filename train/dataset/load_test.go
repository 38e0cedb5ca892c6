package dataset_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/train/dataset"
)

// numbered is a data set whose sample i has the value and label i.
func numbered(t testing.TB, n int) *dataset.Dataset {
	t.Helper()
	data := npy("|u1", fmt.Sprintf("(%d, 1, 1)", n), n)
	labels := npy("|u1", fmt.Sprintf("(%d,)", n), n)
	for i := range n {
		data[len(data)-n+i], labels[len(labels)-n+i] = byte(i), byte(i)
	}
	dir := t.TempDir()
	write(t, data, dir, "x.npy")
	write(t, labels, dir, "y.npy")
	return open(t, dir, "std=0.00392156862745098")
}

// load writes down every batch that comes, with its error.
func load(ctx context.Context, d *dataset.Dataset, o dataset.LoadOptions) []string {
	var out []string
	for b, err := range d.Load(ctx, o) {
		if b == nil {
			out = append(out, fmt.Sprint(err))
			continue
		}
		out = append(out, fmt.Sprintf("%.0f %v %v %v", b.Images, b.Labels, b.Indices, err))
	}
	return out
}

func TestLoad(t *testing.T) {
	d := numbered(t, 7)
	want := []string{
		"[0 1 2] [0 1 2] [0 1 2] <nil>",
		"[3 4 5] [3 4 5] [3 4 5] <nil>",
		"[6] [6] [6] <nil>",
	}
	if got := load(context.Background(), d, dataset.LoadOptions{Batch: 3}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := load(context.Background(), d, dataset.LoadOptions{Batch: 100}); len(got) != 1 {
		t.Errorf("a batch larger than the data: %q", got)
	}
	if got := load(context.Background(), d, dataset.LoadOptions{}); len(got) != 7 {
		t.Errorf("batches of 1: %q", got)
	}
	if got := load(context.Background(), d.First(0), dataset.LoadOptions{Batch: 3}); len(got) != 0 {
		t.Errorf("no samples: %q", got)
	}
	part, _ := d.Split(3, 1)
	for b, err := range part.Load(context.Background(), dataset.LoadOptions{Batch: 3}) {
		if err != nil || !slices.Equal(b.Indices, []int{0, 1, 2}) {
			t.Errorf("indices of a part: %v, %v", b, err)
		}
		for k, i := range b.Indices {
			if b.Labels[k] != part.Label(i) || b.Images[k] != float32(part.Label(i)) {
				t.Errorf("sample %d is %v with label %d, want %d", i, b.Images[k], b.Labels[k], part.Label(i))
			}
		}
	}
}

func TestLoadDoesNotDependOnWorkers(t *testing.T) {
	d := numbered(t, 200)
	for _, o := range []dataset.LoadOptions{{Batch: 16}, {Batch: 1}, {Batch: 16, Shuffle: true, Seed: 4}} {
		o.Workers = 1
		want := load(context.Background(), d, o)
		for _, workers := range []int{2, 7, 0} {
			o.Workers = workers
			if got := load(context.Background(), d, o); !slices.Equal(got, want) {
				t.Errorf("%+v: got %q, want what one worker gives: %q", o, got, want)
			}
		}
	}
}

func TestLoadShuffles(t *testing.T) {
	d := numbered(t, 50)
	order := func(seed uint64) []int {
		var out []int
		for b, err := range d.Load(context.Background(), dataset.LoadOptions{Batch: 8, Shuffle: true, Seed: seed}) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, b.Indices...)
		}
		return out
	}
	a, b := order(1), order(2)
	if slices.Equal(a, b) || slices.IsSorted(a) || !slices.Equal(a, order(1)) {
		t.Errorf("orders of seeds 1 and 2: %v, %v", a, b)
	}
	slices.Sort(a)
	for i, v := range a {
		if i != v {
			t.Fatalf("sample %d is not there once: %v", i, a)
		}
	}
}

// Broken pictures come as errors that name them; who goes on gets the others.
func TestLoadSkipsBrokenSamples(t *testing.T) {
	dir := t.TempDir()
	for i := range 6 {
		writePNG(t, dir, fmt.Sprintf("%d.png", i), 1, 1, byte(i))
	}
	write(t, []byte("broken"), dir, "1.png")
	write(t, []byte("broken"), dir, "4.png")
	write(t, []byte("broken"), dir, "5.png")
	d := open(t, dir, "none")
	for _, workers := range []int{1, 5} {
		var kept []int
		var broken []string
		for b, err := range d.Load(context.Background(), dataset.LoadOptions{Batch: 4, Workers: workers}) {
			kept = append(kept, b.Indices...)
			if len(b.Labels) != len(b.Indices) || len(b.Images) != 3*len(b.Indices) {
				t.Errorf("batch of %d images, %d labels, %d indices", len(b.Images)/3, len(b.Labels), len(b.Indices))
			}
			for k, i := range b.Indices {
				if b.Images[3*k] != float32(i)/255 {
					t.Errorf("sample %d holds %v", i, b.Images[3*k])
				}
			}
			var bad *dataset.SampleError
			if !errors.As(err, &bad) {
				t.Fatalf("got %v, want a SampleError", err)
			}
			broken = append(broken, strings.Split(err.Error(), "\n")...)
		}
		if !slices.Equal(kept, []int{0, 2, 3}) || len(broken) != 3 {
			t.Errorf("kept %v, broken %q", kept, broken)
		}
		for i, name := range []string{"1.png", "4.png", "5.png"} {
			if want := dir + ": " + name + `: starts with "broken", want a JPEG or PNG picture`; broken[i] != want {
				t.Errorf("got %s, want %s", broken[i], want)
			}
		}
	}
}

// When a loop over batches ends, for whatever reason, nothing runs on.
func TestLoadLeavesNothingRunning(t *testing.T) {
	d := numbered(t, 200)
	before := runtime.NumGoroutine()
	for name, stop := range map[string]func(ctx context.Context, cancel func()) error{
		"break": func(ctx context.Context, _ func()) error {
			for range d.Load(ctx, dataset.LoadOptions{Batch: 2, Workers: 7}) {
				break
			}
			return nil
		},
		"cancel": func(ctx context.Context, cancel func()) error {
			var last error
			n := 0
			for b, err := range d.Load(ctx, dataset.LoadOptions{Batch: 2, Workers: 7}) {
				cancel()
				if n++; n > 2 || n == 2 && b != nil {
					return fmt.Errorf("%d batches after the context ended", n-1)
				}
				last = err
			}
			if !errors.Is(last, context.Canceled) {
				return fmt.Errorf("ended with %v, want context.Canceled", last)
			}
			return nil
		},
		"cancelled before": func(ctx context.Context, cancel func()) error {
			cancel()
			for b, err := range d.Load(ctx, dataset.LoadOptions{Batch: 2}) {
				if b != nil || !errors.Is(err, context.Canceled) {
					return fmt.Errorf("got %v, %v", b, err)
				}
			}
			return nil
		},
		"end, then cancel": func(ctx context.Context, cancel func()) error {
			for b, err := range d.First(2).Load(ctx, dataset.LoadOptions{Batch: 2}) {
				if b == nil || err != nil {
					return fmt.Errorf("got %v, %v", b, err)
				}
				cancel() // everything has been handed out: that is no failure
			}
			return nil
		},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		if err := stop(ctx, cancel); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	for range 100 { // a goroutine that is done counts for a moment
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestLoadRefusesHugeBatches(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		writePNG(t, dir, fmt.Sprintf("%d.png", i), 1, 1, 1)
	}
	d := open(t, dir, "size=16384x16384")
	for b, err := range d.Load(context.Background(), dataset.LoadOptions{Batch: 64}) {
		if b != nil || err == nil || !strings.Contains(err.Error(), "a batch of 3 samples of shape [3 16384 16384], want at most") {
			t.Errorf("got %v, %v", b, err)
		}
	}
}

func BenchmarkPhotographs(b *testing.B) {
	d := open(b, corpus.Need(b, "data", "imagenet", "val500"), "imagenet")
	benchmarkLoad(b, d)
}

func BenchmarkCIFAR(b *testing.B) {
	d := open(b, corpus.Need(b, "data", "cifar10", "lossless_val517.bin"), "cifar10")
	benchmarkLoad(b, d)
}

func benchmarkLoad(b *testing.B, d *dataset.Dataset) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			samples := 0
			for b.Loop() {
				for batch, err := range d.Load(context.Background(), dataset.LoadOptions{Batch: 64, Workers: workers}) {
					if err != nil {
						b.Fatal(err)
					}
					samples += len(batch.Labels)
				}
			}
			b.ReportMetric(float64(samples)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
