package batch

import (
	"context"
	"fmt"
	"sync"
)

// A budget is shared by tasks. They are served in the order in which they ask, so
// that a large one is not passed by small ones for ever.
type budget struct {
	mu    sync.Mutex
	total int64 // 0: no limit
	taken int64
	queue []*claim
}

type claim struct {
	n       int64
	granted chan struct{}
}

func newBudget(total int64) *budget { return &budget{total: total} }

// A BudgetError says that a model alone needs more memory than the batch may use.
type BudgetError struct{ Need, Limit int64 }

func (e *BudgetError) Error() string {
	return fmt.Sprintf("needs about %s of memory, more than the %s that the batch has for its models", mebibytes(e.Need), mebibytes(e.Limit))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

// take waits until n bytes are free, and takes them.
func (b *budget) take(ctx context.Context, n int64) error {
	if b.total > 0 && n > b.total {
		return &BudgetError{n, b.total}
	}
	c := &claim{n, make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, c)
	b.serve()
	b.mu.Unlock()
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.granted:
		b.taken -= n
	default:
		for i, o := range b.queue {
			if o == c {
				b.queue = append(b.queue[:i], b.queue[i+1:]...)
				break
			}
		}
	}
	b.serve()
	return ctx.Err()
}

// give takes n bytes back.
func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken -= n
	b.serve()
}

// serve grants what fits; b is locked.
func (b *budget) serve() {
	for len(b.queue) > 0 && (b.total == 0 || b.taken+b.queue[0].n <= b.total) {
		b.taken += b.queue[0].n
		close(b.queue[0].granted)
		b.queue = b.queue[1:]
	}
}
