package batch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A zoo is a folder of files, and a task that counts how often it works on each.
type zoo struct {
	t        *testing.T
	in, out  string
	mu       sync.Mutex
	worked   map[string]int
	recipe   []string
	instead  func(ctx context.Context, item Item, dir string) (Outcome, error) // nil: shout
	need     func(*Input) int64
	options  Options
	produces []string // files beside the main output
}

func newZoo(t *testing.T, files map[string]string) *zoo {
	z := &zoo{t: t, in: t.TempDir(), out: filepath.Join(t.TempDir(), "out"), worked: map[string]int{}, recipe: []string{"v1"}}
	for name, text := range files {
		z.put(z.in, name, text)
	}
	return z
}

func (z *zoo) put(dir, name, text string) {
	z.t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
		z.t.Fatal(err)
	}
}

func (z *zoo) task() *Task {
	return &Task{Name: "shout", Recipe: z.recipe, Need: z.need, Do: func(ctx context.Context, item Item, dir string) (Outcome, error) {
		z.mu.Lock()
		z.worked[item.Name]++
		z.mu.Unlock()
		if z.instead != nil {
			return z.instead(ctx, item, dir)
		}
		return z.shout(item, dir)
	}}
}

// shout writes the input in capitals.
func (z *zoo) shout(item Item, dir string) (Outcome, error) {
	data, err := os.ReadFile(item.Input)
	if err != nil {
		return Outcome{}, err
	}
	for _, name := range z.produces {
		z.put(dir, name, "beside "+string(data))
	}
	text := strings.ToUpper(string(data)) + strings.Join(z.recipe, "")
	return Outcome{Status: Done}, os.WriteFile(filepath.Join(dir, filepath.Base(item.Name)), []byte(text), 0o666)
}

// run does the batch, and returns what became of each model, as "name status".
func (z *zoo) run() string {
	z.t.Helper()
	rep, err := z.try()
	if err != nil {
		z.t.Fatal(err)
	}
	var list []string
	for _, row := range rep.Rows {
		list = append(list, row.Name+" "+string(row.Status))
	}
	return strings.Join(list, ", ")
}

func (z *zoo) try() (*Report, error) {
	z.t.Helper()
	o := z.options
	if o.Dir == "" {
		o.Dir = z.out
	}
	items, err := Find(context.Background(), []string{z.in}, o.Dir, nil)
	if err != nil {
		z.t.Fatal(err)
	}
	return Run(context.Background(), o, z.task(), items)
}

// tree returns the files below a folder, without what batches remember.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == metaFolder {
				return fs.SkipDir
			}
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (z *zoo) wantTree(want map[string]string) {
	z.t.Helper()
	if got := tree(z.t, z.out); fmt.Sprint(got) != fmt.Sprint(want) {
		z.t.Errorf("the output is %v, want %v", got, want)
	}
}

func (z *zoo) want(got, want string) {
	z.t.Helper()
	if got != want {
		z.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What is done is not done again, and what it depends on is what counts.
func TestOnlyWhatIsMissing(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "a", "sub/b.onnx": "b"})
	z.want(z.run(), "a.onnx done, sub/b.onnx done")
	z.wantTree(map[string]string{"a.onnx": "Av1", "sub/b.onnx": "Bv1"})
	z.want(z.run(), "a.onnx skipped, sub/b.onnx skipped")

	z.put(z.in, "a.onnx", "changed")
	z.want(z.run(), "a.onnx done, sub/b.onnx skipped")
	os.Remove(filepath.Join(z.out, "sub/b.onnx"))
	z.want(z.run(), "a.onnx skipped, sub/b.onnx done")
	z.put(z.out, "a.onnx", "tampered")
	z.want(z.run(), "a.onnx done, sub/b.onnx skipped")
	z.wantTree(map[string]string{"a.onnx": "CHANGEDv1", "sub/b.onnx": "Bv1"})

	z.recipe = []string{"v2"}
	z.want(z.run(), "a.onnx done, sub/b.onnx done")
	z.options.Force = true
	z.want(z.run(), "a.onnx unchanged, sub/b.onnx unchanged")
	if z.worked["a.onnx"] != 5 || z.worked["sub/b.onnx"] != 4 {
		t.Errorf("worked %v times", z.worked)
	}
}

// Two tasks do not get into each other's way in one folder.
func TestTasksShareAFolder(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "a"})
	z.run()
	other := z.task()
	other.Name, other.Output = "whisper", func(name string) string { return name + ".txt" }
	other.Do = func(_ context.Context, item Item, dir string) (Outcome, error) {
		return Outcome{Status: Done}, os.WriteFile(filepath.Join(dir, "a.onnx.txt"), nil, 0o666)
	}
	if _, err := Run(context.Background(), Options{Dir: z.out}, other, []Item{{"a.onnx", filepath.Join(z.in, "a.onnx")}}); err != nil {
		t.Fatal(err)
	}
	z.want(z.run(), "a.onnx skipped")
}

// One bad file never stops the rest, whatever is bad about it.
func TestBadFiles(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "a", "b.onnx": "b", "c.onnx": "c", "d.onnx": "d", "e.onnx": "e"})
	z.options = Options{Jobs: 2, Timeout: 50 * time.Millisecond, Memory: 100}
	z.need = func(in *Input) int64 {
		if in.Digest == digestOf("d") {
			return 101
		}
		return 60
	}
	z.instead = func(ctx context.Context, item Item, dir string) (Outcome, error) {
		switch item.Name {
		case "a.onnx":
			return Outcome{}, errors.New(item.Input + ": is bad")
		case "b.onnx":
			panic("out of ideas")
		case "c.onnx":
			<-ctx.Done()
			return Outcome{}, ctx.Err()
		}
		return z.shout(item, dir)
	}
	rep, err := z.try()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"is bad", "internal error: out of ideas", "took longer than 50ms", "needs about 1 MiB of memory, more than the 1 MiB that the batch has for its models", ""}
	for i, row := range rep.Rows {
		if row.Reason != want[i] || row.Status.Bad() != (want[i] != "") {
			t.Errorf("%s: %s, %q, want %q", row.Name, row.Status, row.Reason, want[i])
		}
	}
	var fault *PanicError
	if !errors.As(rep.Rows[1].Err, &fault) || !strings.Contains(string(fault.Stack), "TestBadFiles") {
		t.Errorf("the panic has no stack: %v", rep.Rows[1].Err)
	}
	if rep.Bad() != 4 || rep.Interrupted {
		t.Errorf("%d bad, want 4; interrupted: %v", rep.Bad(), rep.Interrupted)
	}
	z.wantTree(map[string]string{"e.onnx": "Ev1"})

	z.instead, z.need = nil, nil // what failed is tried again
	z.want(z.run(), "a.onnx done, b.onnx done, c.onnx done, d.onnx done, e.onnx skipped")
}

// A verdict is a result: it is kept, and stays a failure.
func TestVerdictsAreKept(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "a"})
	z.instead = func(context.Context, Item, string) (Outcome, error) {
		return Outcome{Status: Failed, Reason: "too large", ExitCode: 5}, nil
	}
	z.want(z.run(), "a.onnx failed")
	rep, err := z.try()
	if err != nil || len(rep.Rows) != 1 {
		t.Fatal(rep, err)
	}
	if row := rep.Rows[0]; row.Status != Failed || !row.Recorded || row.ExitCode != 5 || row.Reason != "too large" || z.worked["a.onnx"] != 1 {
		t.Errorf("%+v after %d times", row, z.worked["a.onnx"])
	}
}

// What an earlier version of a model left behind goes, unless somebody needs it.
func TestOutdatedOutputsGo(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "same", "b.onnx": "same"})
	z.produces = []string{"shared.data", "old.data"}
	z.want(z.run(), "a.onnx done, b.onnx done")
	z.put(z.in, "a.onnx", "new")
	z.produces = nil
	z.want(z.run(), "a.onnx done, b.onnx skipped")
	z.wantTree(map[string]string{"a.onnx": "NEWv1", "b.onnx": "SAMEv1", "shared.data": "beside same", "old.data": "beside same"})
	z.put(z.in, "b.onnx", "new")
	z.put(z.out, "old.data", "a person's")
	z.want(z.run(), "a.onnx skipped, b.onnx done")
	z.wantTree(map[string]string{"a.onnx": "NEWv1", "b.onnx": "NEWv1", "old.data": "a person's"})
}

// Two models that need different data under one name cannot both be written.
func TestOutputsInTheWay(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "a", "b.onnx": "b"})
	z.options.Jobs = 1
	z.produces = []string{"weights.bin"}
	rep, err := z.try()
	if err != nil {
		t.Fatal(err)
	}
	var occupied *OccupiedError
	if !errors.As(rep.Rows[1].Err, &occupied) || rep.Rows[0].Status != Done {
		t.Errorf("%v, %v", rep.Rows[0].Status, rep.Rows[1].Err)
	}
	z.wantTree(map[string]string{"a.onnx": "Av1", "weights.bin": "beside a"})
}

// Files of others are not written over, and links lead nowhere.
func TestForeignFiles(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "a", "sub/b.onnx": "b"})
	z.put(z.out, "a.onnx", "mine")
	var setup *SetupError
	if _, err := z.try(); !errors.As(err, &setup) || !strings.Contains(err.Error(), "is not the output of a batch") {
		t.Fatalf("a folder with files: %v", err)
	}
	z.wantTree(map[string]string{"a.onnx": "mine"})

	outside := t.TempDir()
	z.out = filepath.Join(t.TempDir(), "out")
	if err := os.MkdirAll(filepath.Join(z.out, metaFolder), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(z.out, "sub")); err != nil {
		t.Skip(err)
	}
	z.put(z.out, "a.onnx", "mine")
	z.want(z.run(), "a.onnx failed, sub/b.onnx failed")
	if got := tree(t, outside); len(got) > 0 {
		t.Errorf("outside there is %v", got)
	}
	z.options.Force = true
	z.want(z.run(), "a.onnx done, sub/b.onnx failed")
}

// A batch that is interrupted leaves whole outputs, and the next one goes on.
func TestInterruption(t *testing.T) {
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("%02d.onnx", i)] = fmt.Sprint(i)
	}
	z := newZoo(t, files)
	items, err := Find(context.Background(), []string{z.in}, z.out, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var finished atomic.Int64
	z.instead = func(ctx context.Context, item Item, dir string) (Outcome, error) {
		if finished.Add(1) == 7 {
			cancel()
			return Outcome{}, fmt.Errorf("stopped: %w", ctx.Err())
		}
		return z.shout(item, dir)
	}
	rep, err := Run(ctx, Options{Dir: z.out, Jobs: 3}, z.task(), items)
	if !errors.Is(err, context.Canceled) || rep == nil || !rep.Interrupted || rep.Bad() > 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
	if rep.Remaining+len(rep.Rows) != 20 || rep.Remaining < 11 {
		t.Errorf("%d rows and %d remaining of 20", len(rep.Rows), rep.Remaining)
	}
	done := len(tree(t, z.out))
	if done != len(rep.Rows) {
		t.Errorf("%d outputs and %d rows", done, len(rep.Rows))
	}
	z.instead, z.options.Resume = nil, true
	z.run()
	if got := len(tree(t, z.out)); got != 20 {
		t.Errorf("%d outputs, want 20", got)
	}
	for name, n := range z.worked {
		if n > 2 || n == 2 && done == 20 {
			t.Errorf("%s was worked on %d times", name, n)
		}
	}
}

// Resuming is for what was begun so.
func TestResume(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "a"})
	z.options.Resume = true
	for _, step := range []struct {
		recipe, want string
	}{
		{"v1", "there is no batch to resume"},
		{"", ""}, // begin
		{"v1", ""},
		{"v2", "the batch was begun with v1, and now it is v2"},
	} {
		z.options.Resume = step.recipe != ""
		if z.options.Resume {
			z.recipe = []string{step.recipe}
		}
		_, err := z.try()
		if step.want == "" && err != nil || step.want != "" && (err == nil || !strings.Contains(err.Error(), step.want)) {
			t.Errorf("%+v: %v", step, err)
		}
	}
}

// The dead leave no litter and no locks, and the living are left alone.
func TestLocks(t *testing.T) {
	z := newZoo(t, map[string]string{"a.onnx": "a"})
	z.put(z.out, ".natonnx/work/1-of-1/7/half.onnx", "half")
	z.put(z.out, ".natonnx/work/3-of-9/1/half.onnx", "half")
	z.put(z.out, ".natonnx/locks/3-of-9", "of a dead process")
	z.put(z.out, ".natonnx/done/torn.json", "{")
	z.want(z.run(), "a.onnx done")
	if _, err := os.Stat(filepath.Join(z.out, metaFolder, "work")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is litter, or %v", err)
	}
	if got := tree(t, filepath.Join(z.out, metaFolder, "locks")); len(got) != 1 {
		t.Errorf("locks: %v", got)
	}
	for _, test := range []struct {
		held, asked Shard
		free        bool
	}{
		{Shard{}, Shard{}, false}, {Shard{}, Shard{1, 2}, false}, {Shard{1, 2}, Shard{}, false}, {Shard{1, 2}, Shard{1, 2}, false},
		{Shard{1, 2}, Shard{2, 2}, true}, {Shard{1, 2}, Shard{2, 3}, false},
	} {
		l, err := takeLock(filepath.Join(z.out, metaFolder), test.held)
		if err != nil {
			t.Fatal(err)
		}
		z.put(z.out, ".natonnx/work/"+l.name+"/1/half.onnx", "of the living")
		z.options.Shard = test.asked
		_, err = z.try()
		if (err == nil) != test.free {
			t.Errorf("%v while %v is at work: %v", test.asked, test.held, err)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("process %d on ", os.Getpid())) {
			t.Errorf("%v does not say who", err)
		}
		if _, err := os.Stat(filepath.Join(z.out, ".natonnx/work", l.name, "1/half.onnx")); err != nil {
			t.Errorf("%v swept away the work of %v", test.asked, test.held)
		}
		if err := l.release(); err != nil {
			t.Fatal(err)
		}
	}
}

// Shards that run at once fill one folder as a single batch does.
func TestShardsShareAFolder(t *testing.T) {
	files := map[string]string{}
	for i := range 40 {
		files[fmt.Sprintf("%d/m.onnx", i)] = fmt.Sprint(i)
	}
	z := newZoo(t, files)
	z.produces = []string{"same/weights.bin"}
	items, err := Find(context.Background(), []string{z.in}, z.out, nil)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() {
			if _, err := Run(context.Background(), Options{Dir: z.out, Shard: Shard{i + 1, 3}}, z.task(), items); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, item := range items {
		if z.worked[item.Name] != 1 {
			t.Errorf("%s was worked on %d times", item.Name, z.worked[item.Name])
		}
	}
	if got := len(tree(t, z.out)); got != 80 {
		t.Errorf("%d files, want 80", got)
	}
	if got := z.run(); strings.Count(got, "skipped") != 40 {
		t.Errorf("all together: %s", got)
	}
}

func TestOutputNames(t *testing.T) {
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{"a.onnx", "a.onnx"}, "both would be written to a.onnx"},
		{[]string{"a", "a/b.onnx"}, "a would have to be a file and a folder"},
		{[]string{"../a.onnx"}, "is no place in the output folder"},
		{[]string{"/a.onnx"}, "is no place"},
		{[]string{".natonnx/done/a.json"}, "is no place"},
		{[]string{"a//b"}, "is no place"},
		{[]string{"."}, "is no place"},
		{nil, "there are no models"},
		{[]string{"a.onnx", "b.onnx", "a/b.onnx"}, ""},
	} {
		var items []Item
		for i, name := range test.names {
			items = append(items, Item{name, fmt.Sprint("in", i)})
		}
		err := checkOutputs(&Task{}, items)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q: %v, want %s", test.names, err, test.want)
		}
	}
}

// Tasks never take more than there is, none waits for ever, and the first comes first.
func TestBudget(t *testing.T) {
	b := newBudget(10)
	var taken, most atomic.Int64
	var group sync.WaitGroup
	for i := range 200 {
		n := int64(i%10 + 1)
		group.Go(func() {
			if err := b.take(context.Background(), n); err != nil {
				t.Error(err)
				return
			}
			now := taken.Add(n)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			taken.Add(-n)
			b.give(n)
		})
	}
	group.Wait()
	if most.Load() > 10 || b.taken != 0 || len(b.queue) != 0 {
		t.Errorf("%d of 10 were taken at once, %d still are", most.Load(), b.taken)
	}
	var large *BudgetError
	if err := b.take(context.Background(), 11); !errors.As(err, &large) || large.Need != 11 {
		t.Errorf("11 of 10: %v", err)
	}
	if err := b.take(context.Background(), 10); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error)
	go func() { gone <- b.take(ctx, 5) }()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ended with %v", err)
	}
	b.give(10)
	if err := b.take(context.Background(), 10); err != nil || b.taken != 10 {
		t.Errorf("who gave up still holds something: %v, %d", err, b.taken)
	}
}
