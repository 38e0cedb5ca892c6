package cpu

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A Team is a number of workers that share out the tasks of one computation,
// each with memory of its own. One computation at a time uses a Team. Workers
// stay awake for a moment after a computation, since networks are many short
// ones in a row; nothing is left running when they stop.
type Team struct {
	scratch [][]float32   // by worker
	awake   []atomic.Bool // by worker
	job     atomic.Pointer[job]
}

// A job is one computation.
type job struct {
	do         func(worker, task int)
	tasks      int64
	next, over atomic.Int64 // tasks that were taken, that are done
	done       chan struct{}
}

// NewTeam returns a team of that many workers; 0 or less: as many as cores.
func NewTeam(workers int) *Team {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return &Team{scratch: make([][]float32, workers), awake: make([]atomic.Bool, workers)}
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
	j := &job{do: f, tasks: int64(n), done: make(chan struct{})}
	t.job.Store(j)
	for w := 1; w < workers; w++ {
		if t.awake[w].CompareAndSwap(false, true) {
			go t.help(w)
		}
	}
	j.work(0)
	j.wait()
}

// work does tasks until there are no more.
func (j *job) work(worker int) {
	for {
		i := j.next.Add(1) - 1
		if i >= j.tasks {
			return
		}
		j.do(worker, int(i))
		if j.over.Add(1) == j.tasks {
			close(j.done)
		}
	}
}

// Most waits are shorter than waking a sleeping thread takes: who waits looks
// this often before it lets others run, and workers stay awake so long.
const (
	glances  = 40000 // about 20 µs
	patience = 100 * time.Microsecond
)

// wait returns when all tasks are done.
func (j *job) wait() {
	for range glances {
		if j.over.Load() == j.tasks {
			return
		}
	}
	<-j.done
}

// help works on the team's jobs until none came for a moment. A job that comes
// while it stops is done by the others.
func (t *Team) help(worker int) {
	defer t.awake[worker].Store(false)
	var last *job
	for since := time.Now(); time.Since(since) < patience; runtime.Gosched() {
		for range glances {
			if j := t.job.Load(); j != last {
				j.work(worker)
				last, since = j, time.Now()
			}
		}
	}
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
