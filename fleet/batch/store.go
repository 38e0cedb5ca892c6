package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// metaFolder holds what a batch remembers, in the output folder:
//
//	recipes/TASK.json  what the task depended on when it last began
//	done/*.json        a record per item and task
//	locks/I-of-N       held by the run that works on the shard
//	work/I-of-N/       outputs in the making
const metaFolder = ".natonnx"

// A record is the claim that an item is done. It is written before the outputs get
// their names, and holds only where their digests are the ones that it states: so
// whatever is found in the output folder after a crash is judged by its content.
type record struct {
	Name    string   `json:"name"`
	Task    string   `json:"task"`
	Key     string   `json:"key"`
	Input   string   `json:"input_sha256"`
	Outcome Outcome  `json:"outcome"`
	Outputs []Output `json:"outputs"`
}

// A store is an output folder.
type store struct {
	dir    string
	root   *os.Root // of dir: no link leads out of it
	task   *Task
	lock   *lock
	work   string // relative to dir
	worked atomic.Int64

	mu      sync.Mutex // of what follows, and of naming outputs
	records map[string]*record
	owners  map[string]map[string]bool // ids of records by the outputs that they claim
}

// openStore makes the output folder fit for a batch, and locks it.
func openStore(o *Options, task *Task) (*store, error) {
	known, err := examine(o)
	if err != nil {
		return nil, err
	}
	if o.Resume && !known {
		return nil, setupErrorf("leave --resume out to begin", "%s: there is no batch to resume", o.Dir)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, metaFolder), 0o777); err != nil {
		return nil, err
	}
	s := &store{dir: o.Dir, task: task, records: map[string]*record{}, owners: map[string]map[string]bool{}}
	if s.root, err = os.OpenRoot(o.Dir); err != nil {
		return nil, err
	}
	if s.lock, err = takeLock(filepath.Join(o.Dir, metaFolder), o.Shard); err != nil {
		return nil, errors.Join(err, s.root.Close())
	}
	s.work = path.Join(metaFolder, "work", s.lock.name)
	if err := s.prepare(o.Resume); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// examine reports whether the output folder is that of a batch. One that holds
// other things is refused.
func examine(o *Options) (known bool, err error) {
	list, err := os.ReadDir(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, e := range list {
		if e.Name() == metaFolder {
			return true, nil
		}
	}
	if len(list) > 0 && !o.Force {
		return false, setupErrorf("name a new folder, or add --force to write into this one and replace files of the same names",
			"%s: holds files, and is not the output of a batch", o.Dir)
	}
	return false, nil
}

// prepare cleans up after dead runs, checks the recipe and reads the records.
func (s *store) prepare(resume bool) error {
	for _, dir := range []string{"done", "recipes", path.Join("work", s.lock.name)} {
		if err := s.root.MkdirAll(path.Join(metaFolder, dir), 0o777); err != nil {
			return err
		}
	}
	if err := s.recipe(resume); err != nil {
		return err
	}
	list, err := os.ReadDir(filepath.Join(s.dir, metaFolder, "done"))
	if err != nil {
		return err
	}
	for _, e := range list {
		data, err := s.root.ReadFile(path.Join(metaFolder, "done", e.Name()))
		if err != nil {
			return err
		}
		rec := &record{}
		if json.Unmarshal(data, rec) != nil || e.Name() != recordID(rec.Task, rec.Name)+".json" {
			continue // torn by a crash of the machine: the item counts as not done
		}
		s.adopt(rec)
	}
	return nil
}

// recipe notes what the task depends on, and where the batch is resumed checks
// that it is what it was.
func (s *store) recipe(resume bool) error {
	name := path.Join(metaFolder, "recipes", s.task.Name+".json")
	var before []string
	data, err := s.root.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &before)
	}
	switch {
	case err == nil && slices.Equal(before, s.task.Recipe):
		return nil
	case !resume:
	case err != nil:
		return setupErrorf("leave --resume out to begin", "%s: there is no batch of the task %s to resume", s.dir, s.task.Name)
	default:
		return setupErrorf("leave --resume out to do the models again whose outputs depend on it",
			"%s: the batch was begun with %s, and now it is %s", s.dir, differing(before, s.task.Recipe), differing(s.task.Recipe, before))
	}
	data, err = json.MarshalIndent(s.task.Recipe, "", "  ")
	if err != nil {
		return err
	}
	return s.write(name, append(data, '\n'))
}

// differing returns the first part of a recipe that is not in another one.
func differing(recipe, other []string) string {
	for _, part := range recipe {
		if !slices.Contains(other, part) {
			return part
		}
	}
	return "less"
}

// adopt takes a record into account; s is locked, or not shared yet.
func (s *store) adopt(rec *record) {
	id := recordID(rec.Task, rec.Name)
	for _, out := range rec.Outputs {
		if s.owners[out.Path] == nil {
			s.owners[out.Path] = map[string]bool{}
		}
		s.owners[out.Path][id] = true
	}
	s.records[id] = rec
}

func recordID(task, name string) string {
	sum := sha256.Sum256([]byte(task + "\x00" + name))
	return hex.EncodeToString(sum[:16])
}

// record returns what is known of an item; nil: nothing.
func (s *store) record(name string) *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[recordID(s.task.Name, name)]
}

// intact reports whether the outputs of a record are there as they were written.
func (s *store) intact(ctx context.Context, rec *record) bool {
	for _, out := range rec.Outputs {
		if s.digest(ctx, out.Path) != out.Digest {
			return false
		}
	}
	return true
}

// digest returns the digest of a file of the output folder; "": it cannot be read.
func (s *store) digest(ctx context.Context, name string) string {
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) {
		return ""
	}
	h := sha256.New()
	if _, err := digestFile(ctx, h, filepath.Join(s.dir, local)); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// workFolder makes an empty folder for one item.
func (s *store) workFolder() (string, error) {
	name := path.Join(s.work, strconv.FormatInt(s.worked.Add(1), 10))
	if err := s.root.MkdirAll(name, 0o777); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, filepath.FromSlash(name)), nil
}

// publish records an item and gives its outputs, which are in the work folder dir,
// their names. It reports whether all of them were there already.
func (s *store) publish(rec *record, dir, main string, force bool) (same bool, err error) {
	rec.Task = s.task.Name
	id := recordID(rec.Task, rec.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	there := map[string]bool{}
	for _, out := range rec.Outputs {
		if there[out.Path], err = s.free(out, id, force); err != nil {
			return false, err
		}
	}
	old := s.records[id]
	if err := s.note(id, rec); err != nil {
		return false, err
	}
	s.adopt(rec)
	same = old != nil
	for _, out := range rec.Outputs {
		if there[out.Path] {
			continue
		}
		same = false
		if err := s.move(filepath.Join(dir, filepath.FromSlash(within(main, out.Path))), out.Path); err != nil {
			return false, err
		}
	}
	if old != nil {
		s.clear(id, old, rec)
	}
	return same, nil
}

// free reports whether an output is there already. One that somebody else's file
// stands in the way of is an error.
func (s *store) free(out Output, id string, force bool) (there bool, err error) {
	info, err := s.root.Lstat(out.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.IsDir() {
		return false, &OccupiedError{out.Path, "is a folder"}
	}
	if info.Mode().IsRegular() && info.Size() == out.Bytes && s.digest(context.Background(), out.Path) == out.Digest {
		return true, nil
	}
	owners := s.owners[out.Path]
	switch {
	case len(owners) > 1 || len(owners) == 1 && !owners[id]:
		return false, &OccupiedError{out.Path, "holds other content, which the output of another model needs"}
	case len(owners) == 0 && !force:
		return false, &OccupiedError{out.Path, "exists, and no batch has written it; move it away, or replace it with --force"}
	}
	return false, nil
}

// An OccupiedError says that an output cannot have its name.
type OccupiedError struct{ Path, Msg string }

func (e *OccupiedError) Error() string { return e.Path + ": " + e.Msg }

// note writes a record.
func (s *store) note(id string, rec *record) error {
	data, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return s.write(path.Join(metaFolder, "done", id+".json"), append(data, '\n'))
}

// write writes a file that is whole or not there. It does not wait for the disk:
// what a crash of the machine tears is found out by its content.
func (s *store) write(name string, data []byte) error {
	tmp := path.Join(s.work, path.Base(name)+".tmp")
	if err := s.root.WriteFile(tmp, data, 0o666); err != nil {
		return err
	}
	return s.root.Rename(tmp, name)
}

// move gives a file of the work folder its name.
func (s *store) move(from, to string) error {
	rel, err := filepath.Rel(s.dir, from)
	if err != nil {
		return err
	}
	if err := s.root.MkdirAll(path.Dir(to), 0o777); err != nil {
		return err
	}
	return s.root.Rename(filepath.ToSlash(rel), to)
}

// clear removes outputs that a record claimed and its successor does not, unless
// others claim them or somebody has changed them. That one stays is no harm.
func (s *store) clear(id string, old, rec *record) {
	for _, out := range old.Outputs {
		if slices.ContainsFunc(rec.Outputs, func(o Output) bool { return o.Path == out.Path }) {
			continue
		}
		delete(s.owners[out.Path], id)
		if len(s.owners[out.Path]) == 0 && s.digest(context.Background(), out.Path) == out.Digest {
			s.root.Remove(out.Path)
		}
	}
}

// close leaves the output folder to others.
func (s *store) close() error {
	s.root.RemoveAll(s.work)
	s.root.Remove(path.Join(metaFolder, "work")) // where it is empty
	return errors.Join(s.lock.release(), s.root.Close())
}

// place is where a file beside the main output goes, in the output folder.
func place(main, rel string) string { return path.Join(path.Dir(main), rel) }

// within is the opposite of place.
func within(main, out string) string {
	if dir := path.Dir(main); dir != "." {
		return strings.TrimPrefix(out, dir+"/")
	}
	return out
}

func firstPart(name string) string {
	first, _, _ := strings.Cut(name, "/")
	return first
}

// foldName returns the name as file systems compare it that ignore case.
func foldName(name string) string {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return strings.ToLower(name)
	}
	return name
}

// shardName is a shard as part of a file's name.
func shardName(s Shard) string {
	s = s.orWhole()
	return fmt.Sprintf("%d-of-%d", s.Index, s.Count)
}
