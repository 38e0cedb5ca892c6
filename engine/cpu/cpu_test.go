package cpu

import (
	"slices"
	"sync/atomic"
	"testing"
)

func TestEveryTaskIsDoneOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 7} {
		for _, n := range []int{0, 1, 2, 1000} {
			counts := make([]atomic.Int32, n)
			NewTeam(workers).Do(n, func(worker, i int) {
				if worker < 0 || worker >= workers {
					t.Errorf("worker %d of %d", worker, workers)
				}
				counts[i].Add(1)
			})
			for i := range counts {
				if c := counts[i].Load(); c != 1 {
					t.Errorf("%d workers: task %d of %d done %d times", workers, i, n, c)
				}
			}
		}
	}
}

func TestRangesCoverAndDoNotDependOnWorkers(t *testing.T) {
	pieces := func(workers int) []int {
		team := NewTeam(workers)
		ends := make([]int, 4)
		team.Ranges(103, 30, func(_, from, to int) { ends[from/30] = to })
		return ends
	}
	want := []int{30, 60, 90, 103}
	for _, workers := range []int{1, 3, 9} {
		if got := pieces(workers); !slices.Equal(got, want) {
			t.Errorf("%d workers: pieces end at %v, want %v", workers, got, want)
		}
	}
}

func TestScratchIsOnePerWorker(t *testing.T) {
	team := NewTeam(2)
	a, b := team.Scratch(0, 4), team.Scratch(1, 4)
	a[0], b[0] = 1, 2
	if a[0] != 1 {
		t.Error("workers share scratch memory")
	}
	if got := len(team.Scratch(0, 9)); got != 9 {
		t.Errorf("asked for 9 floats, got %d", got)
	}
}
