package dataset

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"
)

// LoadOptions says how a data set is read.
type LoadOptions struct {
	Batch   int    // samples in a batch; 0: 1. The last batch may have fewer
	Workers int    // how many samples are decoded at once; 0: as many as cores
	Shuffle bool   // in an order that Seed decides, instead of the data's own
	Seed    uint64 // vary it from epoch to epoch
}

// A Batch is consecutive samples. It is valid until the next one is asked for.
type Batch struct {
	Images  []float32 // one sample after the other, each of the data set's shape
	Labels  []int     // -1 where unknown
	Indices []int     // of the samples in the data set
}

// maxBatch bounds the memory of a batch, in values: 4 GiB.
const maxBatch = 1 << 30

// Load reads the samples of d in batches, on several goroutines ahead of the
// caller, and with the memory of a few batches. Neither the order nor the
// content of batches depends on the number of workers.
//
// A sample that cannot be read is left out of its batch, and a [*SampleError]
// (several of them joined) comes with the batch: who goes on skips such samples,
// who breaks off at an error misses none. An error without a batch is the last
// thing that comes: the context has ended, or the options ask for too much.
// When the loop ends, so has everything that Load started.
func (d *Dataset) Load(ctx context.Context, o LoadOptions) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		l, err := d.newLoader(o)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		l.start(ctx, &running)
		for range (len(l.order) + l.batch - 1) / l.batch {
			b := l.next(ctx)
			if b == nil {
				yield(nil, context.Cause(ctx))
				return
			}
			if !yield(b.finish(d)) {
				return
			}
			l.free <- b
		}
	}
}

// loader is one reading of a data set.
type loader struct {
	d       *Dataset
	order   []int
	batch   int
	workers int
	free    chan *loading // batches whose memory may be used again
	ordered chan *loading // batches in the order in which they are handed out
	tasks   chan task
}

// loading is a batch while it is read.
type loading struct {
	batch   Batch
	images  []float32
	errs    []error // by sample
	missing atomic.Int32
	done    chan struct{}
}

// task is one sample of a batch.
type task struct {
	to *loading
	at int
}

func (d *Dataset) newLoader(o LoadOptions) (*loader, error) {
	n := d.Len()
	l := &loader{d: d, batch: min(max(o.Batch, 1), max(n, 1)), workers: o.Workers}
	if l.workers <= 0 {
		l.workers = runtime.GOMAXPROCS(0)
	}
	l.workers = min(l.workers, max(n, 1))
	if size := d.size(); size > maxBatch/l.batch {
		return nil, fmt.Errorf("%s: a batch of %d samples of shape %v, want at most %d values in all", d.path, l.batch, d.shape, maxBatch)
	}
	if o.Shuffle {
		l.order = permutation(n, o.Seed)
	} else {
		l.order = make([]int, n)
		for i := range l.order {
			l.order[i] = i
		}
	}
	// One batch is with the caller, one is complete, and all workers are busy.
	ahead := 2 + (l.workers+l.batch-1)/l.batch
	l.free, l.ordered = make(chan *loading, ahead), make(chan *loading, ahead)
	l.tasks = make(chan task)
	for range ahead {
		l.free <- &loading{}
	}
	return l, nil
}

// start begins to read, until all is read or the context ends.
func (l *loader) start(ctx context.Context, running *sync.WaitGroup) {
	running.Go(func() {
		defer close(l.tasks)
		l.plan(ctx)
	})
	for range l.workers {
		running.Go(func() {
			var s scratch
			for t := range l.tasks {
				l.read(ctx, t, &s)
			}
		})
	}
}

// plan hands the samples to the workers, batch by batch.
func (l *loader) plan(ctx context.Context) {
	for from := 0; from < len(l.order); from += l.batch {
		var b *loading
		select {
		case b = <-l.free:
		case <-ctx.Done():
			return
		}
		b.reset(l.order[from:min(from+l.batch, len(l.order))], l.d.size())
		l.ordered <- b // never blocks: it has room for all batches there are
		for at := range b.batch.Indices {
			select {
			case l.tasks <- task{b, at}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// next waits for the next batch; nil when the context ends before.
func (l *loader) next(ctx context.Context) *loading {
	var b *loading
	select {
	case b = <-l.ordered:
	case <-ctx.Done():
		return nil
	}
	select {
	case <-b.done:
	case <-ctx.Done():
	}
	if ctx.Err() != nil { // samples may have been left out
		return nil
	}
	return b
}

func (b *loading) reset(indices []int, size int) {
	b.images = grow(b.images, len(indices)*size)
	b.batch.Images = b.images
	b.batch.Indices = append(b.batch.Indices[:0], indices...)
	b.batch.Labels = grow(b.batch.Labels, len(indices))
	b.errs = grow(b.errs, len(indices))
	b.missing.Store(int32(len(indices)))
	b.done = make(chan struct{})
}

// read does one task. The worker that does the last one of a batch says so.
func (l *loader) read(ctx context.Context, t task, s *scratch) {
	if ctx.Err() == nil {
		i, size := t.to.batch.Indices[t.at], l.d.size()
		t.to.batch.Labels[t.at] = l.d.Label(i)
		err := l.d.read(i, t.to.images[t.at*size:][:size], s)
		if err != nil {
			err = l.d.sampleError(i, err)
		}
		t.to.errs[t.at] = err
	}
	if t.to.missing.Add(-1) == 0 {
		close(t.to.done)
	}
}

// finish takes the samples that could not be read out of the batch.
func (b *loading) finish(d *Dataset) (*Batch, error) {
	out, size, kept := &b.batch, d.size(), 0
	for at, err := range b.errs {
		if err != nil {
			continue
		}
		if at != kept {
			copy(out.Images[kept*size:][:size], out.Images[at*size:][:size])
			out.Labels[kept], out.Indices[kept] = out.Labels[at], out.Indices[at]
		}
		kept++
	}
	out.Images, out.Labels, out.Indices = out.Images[:kept*size], out.Labels[:kept], out.Indices[:kept]
	return out, errors.Join(b.errs...)
}
