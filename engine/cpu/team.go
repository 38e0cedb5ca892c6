package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A Team is a number of workers that share out the tasks of one computation,
// each with memory of its own. One computation at a time uses a Team.
type Team struct {
	scratch [][]float32 // by worker
}

// NewTeam returns a team of that many workers; 0 or less: as many as cores.
func NewTeam(workers int) *Team {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return &Team{scratch: make([][]float32, workers)}
}

// Workers returns the number of workers, at least 1.
func (t *Team) Workers() int { return len(t.scratch) }

// Do calls f once for every task in [0, n), from several workers at once, and
// returns when all are done. Which worker does a task changes from run to run:
// a result may depend on the task alone, so that it is the same on any number
// of cores.
func (t *Team) Do(n int, f func(worker, task int)) {
	workers := min(len(t.scratch), n)
	if workers <= 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	var next atomic.Int64
	work := func(worker int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(worker, i)
		}
	}
	var others sync.WaitGroup
	for w := 1; w < workers; w++ {
		others.Go(func() { work(w) })
	}
	work(0)
	others.Wait()
}

// Ranges splits [0, n) into pieces of size grain (the last one may be shorter)
// and calls f once for each, as [Team.Do] does. The pieces do not depend on the
// number of workers.
func (t *Team) Ranges(n, grain int, f func(worker, from, to int)) {
	grain = max(grain, 1)
	t.Do((n+grain-1)/grain, func(worker, i int) {
		f(worker, i*grain, min(n, (i+1)*grain))
	})
}

// Scratch returns memory of n float32 that belongs to a worker until its next
// call of Scratch. Its contents are arbitrary.
func (t *Team) Scratch(worker, n int) []float32 {
	if len(t.scratch[worker]) < n {
		t.scratch[worker] = make([]float32, n)
	}
	return t.scratch[worker][:n]
}
