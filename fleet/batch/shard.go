package batch

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// A Shard is a part of a batch: the Index-th of Count, from 1 on. The zero Shard
// is all of it.
type Shard struct{ Index, Count int }

// whole is the only shard of a batch that has no others.
var whole = Shard{1, 1}

func (s Shard) orWhole() Shard {
	if s.Count == 0 {
		return whole
	}
	return s
}

func (s Shard) String() string {
	s = s.orWhole()
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}

// Holds reports whether the shard has the item of that name. A name belongs to one
// shard of each count, whatever other names there are: shards that list a growing
// folder at different times still do nothing twice.
func (s Shard) Holds(name string) bool {
	s = s.orWhole()
	h := fnv.New64a()
	h.Write([]byte(name))
	x := h.Sum64() // FNV's low bits alone mix badly; finish as MurmurHash3 does
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x%uint64(s.Count) == uint64(s.Index-1)
}

// Of returns the items of the shard, in order.
func (s Shard) Of(items []Item) (mine []Item) {
	for _, item := range items {
		if s.Holds(item.Name) {
			mine = append(mine, item)
		}
	}
	return mine
}

// maxShards bounds the number of shards.
const maxShards = 1_000_000

// ParseShard reads I/N, or auto or auto/N: then the index, and without N the count,
// come from the variables that job arrays set. getenv is [os.Getenv] or its like.
func ParseShard(text string, getenv func(string) string) (Shard, error) {
	index, count, counted := strings.Cut(text, "/")
	s := Shard{}
	var err error
	if counted {
		if s.Count, err = strconv.Atoi(count); err != nil || s.Count < 1 || s.Count > maxShards {
			return Shard{}, fmt.Errorf("want I/N with N from 1 to %d, or auto", maxShards)
		}
	}
	if index == "auto" {
		return fromEnvironment(s.Count, getenv)
	}
	if s.Index, err = strconv.Atoi(index); err != nil || !counted {
		return Shard{}, fmt.Errorf("want I/N, such as 1/8, or auto")
	}
	if s.Index < 1 || s.Index > s.Count {
		return Shard{}, fmt.Errorf("want I from 1 to %d", s.Count)
	}
	return s, nil
}

// An array is how a scheduler tells a job which one of many it is.
type array struct {
	name, index        string
	first, count, step string // variables; "": the first is 0, the count is not told, the step is 1
}

// arrays are the schedulers that are known: the Indexed Jobs of Kubernetes, the
// array jobs of AWS Batch and the job arrays of Slurm.
var arrays = []array{
	{name: "Kubernetes", index: "JOB_COMPLETION_INDEX"},
	{name: "AWS Batch", index: "AWS_BATCH_JOB_ARRAY_INDEX", count: "AWS_BATCH_JOB_ARRAY_SIZE"},
	{name: "Slurm", index: "SLURM_ARRAY_TASK_ID", first: "SLURM_ARRAY_TASK_MIN", count: "SLURM_ARRAY_TASK_COUNT", step: "SLURM_ARRAY_TASK_STEP"},
}

// fromEnvironment finds the shard that a scheduler has chosen; count 0: it has to
// tell the count as well.
func fromEnvironment(count int, getenv func(string) string) (Shard, error) {
	var found []array
	var names []string
	for _, a := range arrays {
		names = append(names, a.index)
		if getenv(a.index) != "" {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return Shard{}, fmt.Errorf("no job array: none of %s is set", strings.Join(names, ", "))
	case 1:
		return found[0].shard(count, getenv)
	}
	return Shard{}, fmt.Errorf("both %s and %s are set: write I/N", found[0].index, found[1].index)
}

func (a array) shard(count int, getenv func(string) string) (s Shard, err error) {
	number := func(variable string, missing int) int {
		text := getenv(variable)
		if variable == "" || text == "" || err != nil {
			return missing
		}
		n, e := strconv.Atoi(text)
		if e != nil || n < 0 {
			err = fmt.Errorf("%s is %q, want a number", variable, text)
		}
		return n
	}
	index, first, step := number(a.index, 0), number(a.first, 0), number(a.step, 1)
	if count == 0 {
		count = number(a.count, 0)
	}
	switch {
	case err != nil:
		return s, err
	case count == 0:
		return s, fmt.Errorf("%s tells no count: write auto/N", a.name)
	case count > maxShards:
		return s, fmt.Errorf("%d shards, want %d at most", count, maxShards)
	case step < 1 || index < first || (index-first)%step != 0 || (index-first)/step >= count:
		return s, fmt.Errorf("%s=%d is none of %d jobs numbered from %d on in steps of %d: number them so, or write I/N", a.index, index, count, first, step)
	}
	return Shard{(index-first)/step + 1, count}, nil
}
