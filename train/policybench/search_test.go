package policybench

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/transformer"
)

var operations = []string{"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"}

// tableOf makes a table in which a cell, given as the operations of its edges,
// has that accuracy on CIFAR-10.
func tableOf(t testing.TB, accuracy func(ops [6]int) float64) *train.Table {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("CIFAR10TestAccuracy200Epochs,CIFAR100TestAccuracy200Epochs,ImageNetTestAccuracy200Epochs,ArchitectureString,UniqueString\n")
	for cell := range train.Cells201 {
		var ops [6]int
		var names [6]any
		for i, rest := 0, cell; i < 6; i, rest = i+1, rest/5 {
			ops[i] = rest % 5
			names[i] = operations[ops[i]]
		}
		x := accuracy(ops)
		fmt.Fprintf(&b, "%v,%v,%v,%s,%d\n", x, x*0.9, x*0.8, fmt.Sprintf("|%s~0|+|%s~0|%s~1|+|%s~0|%s~1|%s~2|", names[:]...), cell)
	}
	table, err := train.ReadTable("made-up.csv", &b)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// worth makes the edges' operations count each for itself.
var worth = []float64{0, 5, 7, 10, 2}

var separable = sync.OnceValue(func() func(testing.TB) *train.Table {
	var table *train.Table
	return func(t testing.TB) *train.Table {
		if table == nil {
			table = tableOf(t, func(ops [6]int) (sum float64) {
				for _, op := range ops {
					sum += worth[op]
				}
				return sum
			})
		}
		return table
	}
})()

var searchers = map[string]struct {
	limit  int
	search searcher
}{
	"random":       {10, randomly},
	"greedy":       {10, greedily},
	"whole greedy": {0, greedily},
	"evolution":    {10, evolve},
	"evolution 50": {50, evolve},
	"evolution on": {1000, evolve},
	"random on":    {1000, randomly},
	"exhaustive":   {0, exhaustively},
}

// No searcher looks up more than it may, or what the moves do not reach; what it
// finds is the best of what it saw, which is never worse than the input nor better
// than the best that can be reached. Who looks everything up finds that.
func TestSearchersAgainstBestReachable(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	table := tableOf(t, func([6]int) float64 { return 100 * rng.Float64() }) // nothing to climb
	for _, rules := range []transformer.Rules{transformer.NAT, transformer.NATPlusPlus} {
		moves := train.MovesOf201(rules)
		for cell := 3; cell < train.Cells201; cell += 997 {
			best := table.BestReachable(cell, rules, train.CIFAR10)
			s := &space{cell, moves.Options(cell)}
			reachable := map[int]bool{}
			exhaustively(nil, s, newLedger(func(c int) float64 { reachable[c] = true; return 0 }, 0))
			if len(reachable) != s.size() {
				t.Fatalf("cell %d: %d candidates, want %d", cell, len(reachable), s.size())
			}
			for name, x := range searchers {
				seen, top := map[int]bool{}, 0.0
				l := newLedger(func(c int) float64 {
					if seen[c] || !reachable[c] || len(seen) == 0 && c != cell {
						t.Errorf("%s, cell %d: looks %d up, again, beyond the moves, or first", name, cell, c)
					}
					seen[c] = true
					top = max(top, table.Accuracy(c, train.CIFAR10))
					return table.Accuracy(c, train.CIFAR10)
				}, x.limit)
				x.search(rng, s, l)
				got := table.Accuracy(l.best, train.CIFAR10)
				if got != top || got > best || got < table.Accuracy(cell, train.CIFAR10) {
					t.Errorf("%s, cell %d: finds %v, best seen %v, best reachable %v", name, cell, got, top, best)
				}
				if x.limit > 0 && len(seen) > x.limit || len(seen) != len(l.known) {
					t.Errorf("%s, cell %d: %d look-ups, says %d, limit %d", name, cell, len(seen), len(l.known), x.limit)
				}
				if (name == "exhaustive" || name == "random on" && s.size() <= x.limit) && got != best {
					t.Errorf("%s, cell %d: finds %v, best reachable %v", name, cell, got, best)
				}
			}
		}
	}
}

// Where each edge counts for itself, greedy finds the best by going round once
// and seeing, in a second round, that nothing is better.
func TestGreedyOnASeparableTable(t *testing.T) {
	table, moves := separable(t), train.MovesOf201(transformer.NAT)
	for cell := 1; cell < train.Cells201; cell += 71 {
		s := &space{cell, moves.Options(cell)}
		l := newLedger(func(c int) float64 { return table.Accuracy(c, train.CIFAR10) }, 0)
		greedily(rand.New(rand.NewPCG(1, uint64(cell))), s, l)
		if got, want := table.Accuracy(l.best, train.CIFAR10), table.BestReachable(cell, transformer.NAT, train.CIFAR10); got != want {
			t.Errorf("cell %d: %v, want %v", cell, got, want)
		}
		if len(l.known) > 1+2*2*6 {
			t.Errorf("cell %d: %d look-ups", cell, len(l.known))
		}
	}
}

// Evolution climbs where there is a slope: much better than drawing evenly.
func TestEvolutionClimbs(t *testing.T) {
	table, moves := separable(t), train.MovesOf201(transformer.NAT)
	gain := func(search searcher) (sum float64) {
		rng := rand.New(rand.NewPCG(1, 1))
		for cell := 1; cell < train.Cells201; cell += 71 {
			l := newLedger(func(c int) float64 { return table.Accuracy(c, train.CIFAR10) }, 50)
			search(rng, &space{cell, moves.Options(cell)}, l)
			sum += table.Accuracy(l.best, train.CIFAR10) - table.Accuracy(cell, train.CIFAR10)
		}
		return sum
	}
	if evolved, drawn := gain(evolve), gain(randomly); evolved < 1.1*drawn {
		t.Errorf("evolution gains %v, random search %v", evolved, drawn)
	}
}

// The figures published beside the table, over all cells: they were computed by
// other code.
func TestPublishedRivals(t *testing.T) {
	table, err := train.OpenTable(corpus.Need(t, "nas", "nasbench201_200ep_test.csv"))
	if err != nil {
		t.Fatal(err)
	}
	moves, rng := train.MovesOf201(transformer.NAT), rand.New(rand.NewPCG(1, 1))
	cells, fixed, random := make([]int, train.Cells201), make([]int, train.Cells201), make([]int, train.Cells201)
	for cell := range cells {
		s := &space{cell, moves.Options(cell)}
		cells[cell], fixed[cell], random[cell] = cell, fixedRule(cell), s.candidate(s.draw(rng))
	}
	for d, want := range [train.Datasets]struct{ captured, random float64 }{{70, 74.28}, {63, 49.39}, {57, 25.04}} {
		if got := table.Outcome(transformer.NAT, train.Dataset(d), cells, fixed).Captured; math.Round(got) != want.captured {
			t.Errorf("%v: the fixed rule captures %.2f %%, want %v %%", train.Dataset(d), got, want.captured)
		}
		if got := table.Outcome(transformer.NAT, train.Dataset(d), cells, random).Accuracy; math.Abs(got-want.random) > 0.5 {
			t.Errorf("%v: after random transformations %.2f %%, want about %v %%", train.Dataset(d), got, want.random)
		}
	}
}

// The rule as it reads, on the benchmark's own way to write cells.
func TestFixedRule(t *testing.T) {
	table := tableOf(t, func(ops [6]int) (code float64) { // tells cells apart
		for _, op := range ops {
			code = code*5 + float64(op)
		}
		return code / 200
	})
	for cell := range train.Cells201 {
		want, rest := 0.0, cell
		for edge := range 6 {
			op := rest % 5
			rest /= 5
			if !strings.HasPrefix(operations[op], "nor_conv") {
				op = 1
				if edge == 0 {
					op = 0
				}
			}
			want = want*5 + float64(op)
		}
		if got := table.Accuracy(fixedRule(cell), train.CIFAR10); math.Abs(got-want/200) > 1e-9 {
			t.Fatalf("cell %d becomes %v, want %v", cell, got*200, want)
		}
	}
}
