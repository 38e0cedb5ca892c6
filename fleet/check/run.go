package check

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/natonnx/natonnx/transformer"
)

// A File is one model to check.
type File struct {
	Path     string // also how the report names it
	Data     []byte // the model itself, where it comes from no file; Path is then only its name
	Settings *Settings
	Against  string // the base's path; "" for none
	// NoBase says why there is no base though others have one.
	NoBase string
}

// Options say how a run is made.
type Options struct {
	Version string   // of the program, for the report
	FailOn  Severity // "": Error
	Jobs    int      // files checked at a time; 0: as many as cores
	// Memory is the most that networks that run may take together, in bytes; 0: no
	// limit. Rules that would need more are skipped.
	Memory int64
	// Policy says which operations are redundant; nil: the built-in one.
	Policy   transformer.Policy
	Progress func(done, of int) // may be nil; called by one goroutine at a time
}

// Run checks files, several at a time, and reports on them in their order. What
// is wrong with files are findings; an error is that of the context, or a fault
// of this program.
func Run(ctx context.Context, files []File, o Options) (*Report, error) {
	if o.FailOn == "" {
		o.FailOn = Error
	}
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	if o.Policy == nil {
		policy, err := transformer.Builtin(transformer.DefaultPolicy)
		if err != nil {
			return nil, err
		}
		o.Policy = policy
	}
	jobs := max(1, min(o.Jobs, len(files)))
	r := &runner{Options: o, memory: newReserve(o.Memory), cores: max(1, runtime.GOMAXPROCS(0)/jobs)}
	report := &Report{Tool: "natonnx", Version: o.Version, FailOn: o.FailOn, Results: make([]Result, len(files))}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var done int
	var all sync.WaitGroup
	var one sync.Mutex
	for range jobs {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(files) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				var err error
				if report.Results[i], err = r.file(ctx, files[i]); err != nil {
					cancel(err)
				}
				one.Lock()
				if done++; o.Progress != nil {
					o.Progress(done, len(files))
				}
				one.Unlock()
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	report.count()
	return report, nil
}

func (r *Report) count() {
	for _, result := range r.Results {
		r.Counts.Skipped += len(result.Skipped)
		for _, f := range result.Findings {
			switch f.Severity {
			case Error:
				r.Counts.Errors++
			case Warning:
				r.Counts.Warnings++
			default:
				r.Counts.Notes++
			}
		}
	}
}

// A runner is what the files of a run share.
type runner struct {
	Options
	memory *reserve
	cores  int // that one file may use
	// alone is held by whoever measures time, so that nothing else runs.
	alone sync.RWMutex
}

// quietly runs f while no other file is checked.
func (r *runner) quietly(f func()) {
	r.alone.RUnlock()
	defer r.alone.RLock()
	r.alone.Lock()
	defer r.alone.Unlock()
	f()
}

// file checks one file. A panic becomes an error that names the file and rule:
// it must not take the other files' results with it unexplained.
func (r *runner) file(ctx context.Context, f File) (result Result, err error) {
	r.alone.RLock()
	defer r.alone.RUnlock()
	s := &subject{ctx: ctx, runner: r, set: f.Settings, name: filepath.ToSlash(f.Path), baseError: cmp.Or(f.NoBase, "no base was given")}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %s: %v", f.Path, s.rule.ID, p)
		}
	}()
	if s.set == nil {
		d := DefaultSettings()
		s.set = &d
	}
	s.result = Result{Path: s.name, Findings: []Finding{}, Checked: []string{}, Skipped: []Skip{}}
	if err := s.open(f); err != nil {
		return s.result, err
	}
	if f.Against != "" && s.model != nil {
		s.openBase(f.Against)
	}
	if s.base != nil {
		s.result.Base = s.base.result.Measures
	}
	for _, s.rule = range Rules {
		p := procedures[s.rule.ID]
		if s.severity = s.set.severity(s.rule); s.severity == Off || p.applies != nil && !p.applies(s.set, f.Against != "" || f.NoBase != "") {
			continue
		}
		if why := s.lacks(p.needs); why != "" {
			s.skip("%s", why)
			continue
		}
		s.skipped = false
		if err := p.check(s); err != nil {
			return s.result, err
		}
		if !s.skipped {
			s.result.Checked = append(s.result.Checked, s.rule.ID)
		}
	}
	return s.result, ctx.Err()
}

// A reserve is memory that is lent to what runs.
type reserve struct {
	mu    sync.Mutex
	freed *sync.Cond
	total int64 // 0: no limit
	free  int64
}

func newReserve(total int64) *reserve {
	r := &reserve{total: total, free: total}
	r.freed = sync.NewCond(&r.mu)
	return r
}

// take waits until n bytes are free, and returns what gives them back; ok is
// false where there are not so many at all.
func (r *reserve) take(n int64) (back func(), ok bool) {
	if r.total == 0 {
		return func() {}, true
	}
	if n > r.total {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.free < n {
		r.freed.Wait()
	}
	r.free -= n
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.free += n
		r.freed.Broadcast()
	}, true
}
