package batch

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Every item is in exactly one shard, for any number of shards, whatever else is
// in the list, and shards are of about one size.
func TestShardsPartition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for try := range 60 {
		items := make([]Item, r.IntN(3000))
		for i := range items {
			items[i].Name = fmt.Sprintf("model_%d/%x.onnx", i, r.Uint32())
		}
		count := 1 + r.IntN(40)
		owner := map[string]int{}
		for i := 1; i <= count; i++ {
			mine := Shard{i, count}.Of(items)
			for _, item := range mine {
				if owner[item.Name] != 0 {
					t.Fatalf("%s is in shards %d and %d of %d", item.Name, owner[item.Name], i, count)
				}
				owner[item.Name] = i
			}
			if mean := float64(len(items)) / float64(count); mean > 50 && (float64(len(mine)) < mean/2 || float64(len(mine)) > 2*mean) {
				t.Errorf("shard %d of %d has %d of %d items", i, count, len(mine), len(items))
			}
		}
		if len(owner) != len(items) {
			t.Fatalf("try %d: %d of %d items are in a shard of %d", try, len(owner), len(items), count)
		}
		for _, item := range items[:len(items)/2] { // a shorter list changes nothing
			if !(Shard{owner[item.Name], count}).Holds(item.Name) {
				t.Fatalf("%s has moved", item.Name)
			}
		}
	}
	if got := (Shard{}).Of([]Item{{Name: "a"}, {Name: "b"}}); len(got) != 2 {
		t.Errorf("the whole batch has %d of 2 items", len(got))
	}
}

func TestParseShard(t *testing.T) {
	for _, test := range []struct {
		text, environment string
		want              Shard
		err               string
	}{
		{text: "1/1", want: Shard{1, 1}},
		{text: "3/8", want: Shard{3, 8}},
		{text: "8/8", want: Shard{8, 8}},
		{text: "0/8", err: "want I from 1 to 8"},
		{text: "9/8", err: "want I from 1 to 8"},
		{text: "1/0", err: "want I/N with N from 1"},
		{text: "1/1000001", err: "want I/N with N from 1"},
		{text: "1", err: "want I/N, such as 1/8, or auto"},
		{text: "a/b", err: "want I/N with N from 1"},
		{text: "", err: "want I/N"},
		{text: "1/8", environment: "JOB_COMPLETION_INDEX=5", want: Shard{1, 8}},
		{text: "auto", err: "none of JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, SLURM_ARRAY_TASK_ID is set"},
		{text: "auto/8", environment: "JOB_COMPLETION_INDEX=0", want: Shard{1, 8}},
		{text: "auto/8", environment: "JOB_COMPLETION_INDEX=7", want: Shard{8, 8}},
		{text: "auto/8", environment: "JOB_COMPLETION_INDEX=8", err: "is none of 8 jobs numbered from 0"},
		{text: "auto", environment: "JOB_COMPLETION_INDEX=0", err: "Kubernetes tells no count: write auto/N"},
		{text: "auto", environment: "AWS_BATCH_JOB_ARRAY_INDEX=2 AWS_BATCH_JOB_ARRAY_SIZE=10", want: Shard{3, 10}},
		{text: "auto", environment: "AWS_BATCH_JOB_ARRAY_INDEX=two AWS_BATCH_JOB_ARRAY_SIZE=10", err: `AWS_BATCH_JOB_ARRAY_INDEX is "two", want a number`},
		{text: "auto", environment: "SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MIN=2 SLURM_ARRAY_TASK_COUNT=4", want: Shard{1, 4}},
		{text: "auto", environment: "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_STEP=2", want: Shard{4, 4}},
		{text: "auto", environment: "SLURM_ARRAY_TASK_ID=9 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_STEP=1", err: "is none of 3 jobs"},
		{text: "auto/2", environment: "JOB_COMPLETION_INDEX=0 SLURM_ARRAY_TASK_ID=1", err: "both JOB_COMPLETION_INDEX and SLURM_ARRAY_TASK_ID are set"},
	} {
		set := map[string]string{}
		for _, pair := range strings.Fields(test.environment) {
			name, value, _ := strings.Cut(pair, "=")
			set[name] = value
		}
		got, err := ParseShard(test.text, func(name string) string { return set[name] })
		if test.err == "" && (err != nil || got != test.want) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q with %s: %v, %v, want %v %s", test.text, test.environment, got, err, test.want, test.err)
		}
	}
}

func FuzzParseShard(f *testing.F) {
	for _, text := range []string{"1/8", "auto", "auto/3", "0/0", "-1/2", "99999999999999999999/1", "1/2/3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseShard(text, func(string) string { return text })
		if err == nil && (s.Index < 1 || s.Index > s.Count || s.Count > maxShards) {
			t.Errorf("%q is %v", text, s)
		}
	})
}
