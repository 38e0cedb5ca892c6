package batch

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Find lists the models that the arguments name, sorted by name:
//
//   - a folder: all *.onnx files below it, by their place in it; hidden folders are left out
//   - a pattern of [filepath.Glob]: what matches, by its place below the part without wildcards
//   - a manifest (.txt, .csv or .json), or - for a .txt from stdin: see below
//   - any other file, by its last part
//
// A .txt manifest has a path per line; empty lines and those that begin with # are
// left out. A .csv manifest begins with a line of column names, of which "input" and
// "output" are read. A .json manifest is a list of paths, or of objects with "input"
// and "output". Paths are relative to the manifest's folder, those from stdin to the
// working directory; an output is a place in the output folder. Without one, a model
// below the manifest's folder keeps its place in it, and another its last part.
//
// out is the output folder: models in it are refused, and so is an output folder
// inside a folder of models. Mistakes are a [*SetupError].
func Find(ctx context.Context, args []string, out string, stdin io.Reader) ([]Item, error) {
	resolved, err := resolve(out)
	if err != nil {
		return nil, err
	}
	var items []Item
	for _, arg := range args {
		found, err := find(ctx, arg, resolved, stdin)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, setupErrorf("", "%s: no models found", arg)
		}
		items = append(items, found...)
	}
	for _, item := range items {
		if in, err := resolve(item.Input); err == nil && contains(resolved, in) {
			return nil, setupErrorf("name another folder with -o", "%s: lies in the output folder %s", item.Input, out)
		}
	}
	slices.SortStableFunc(items, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(items, func(a, b Item) bool { // named twice
		return a.Name == b.Name && filepath.Clean(a.Input) == filepath.Clean(b.Input)
	}), nil
}

func find(ctx context.Context, arg, out string, stdin io.Reader) ([]Item, error) {
	if arg == "" {
		return nil, setupErrorf("", "the name of an input is empty")
	}
	if arg == "-" {
		data, err := io.ReadAll(io.LimitReader(stdin, maxManifest+1))
		if err != nil {
			return nil, err
		}
		return manifest("standard input", ".txt", ".", data)
	}
	info, err := os.Stat(arg)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(arg, "*?["):
		return matching(arg)
	case err != nil:
		return nil, err
	case info.IsDir():
		return below(ctx, arg, out)
	}
	kind := strings.ToLower(filepath.Ext(arg))
	if kind != ".txt" && kind != ".csv" && kind != ".json" {
		return []Item{{Name: filepath.Base(arg), Input: arg}}, nil
	}
	if info.Size() > maxManifest {
		return nil, tooLong(arg)
	}
	data, err := os.ReadFile(arg)
	if err != nil {
		return nil, err
	}
	return manifest(arg, kind, filepath.Dir(arg), data)
}

// below lists the models of a folder.
func below(ctx context.Context, dir, out string) (items []Item, err error) {
	in, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	if in == out {
		return nil, setupErrorf("name another folder with -o", "%s: is the output folder, too", dir)
	}
	if contains(in, out) {
		return nil, setupErrorf("name another folder with -o", "%s: holds the output folder, so that the next batch would take outputs for inputs", dir)
	}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		local := filepath.Join(dir, filepath.FromSlash(name))
		if d.IsDir() {
			if name != "." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !isModel(d.Name()) || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		if info, err := os.Stat(local); err == nil && info.IsDir() {
			return nil // a link to a folder
		}
		items = append(items, Item{name, local})
		return nil
	})
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = &fs.PathError{Op: pe.Op, Path: filepath.Join(dir, pe.Path), Err: pe.Err}
	}
	return items, err
}

func isModel(name string) bool { return strings.EqualFold(filepath.Ext(name), ".onnx") }

// matching lists the files that a pattern matches.
func matching(pattern string) (items []Item, err error) {
	if strings.Contains(pattern, "**") {
		return nil, setupErrorf("name the folder to take all models below it", "%s: ** has no meaning here", pattern)
	}
	list, err := filepath.Glob(pattern)
	if err != nil {
		return nil, setupErrorf("", "%s: is no pattern: %v", pattern, err)
	}
	base := filepath.Dir(pattern)
	for strings.ContainsAny(base, "*?[") {
		base = filepath.Dir(base)
	}
	for _, file := range list {
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			continue
		}
		rel, err := filepath.Rel(base, file)
		if err != nil {
			return nil, err
		}
		items = append(items, Item{filepath.ToSlash(rel), file})
	}
	return items, nil
}

// maxManifest bounds a manifest, in bytes.
const maxManifest = 64 << 20

func tooLong(name string) error {
	return setupErrorf("", "%s: is longer than %d MiB, which is no list of models", name, maxManifest>>20)
}

// An entry is a line of a manifest.
type entry struct {
	Input  string `json:"input"`
	Output string `json:"output"`
}

// UnmarshalJSON reads a path or an object.
func (e *entry) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &e.Input) == nil {
		return nil
	}
	type plain entry
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(e))
}

// manifest reads a manifest whose paths are relative to dir.
func manifest(name, kind, dir string, data []byte) (items []Item, err error) {
	if len(data) > maxManifest {
		return nil, tooLong(name)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var list []entry
	switch kind {
	case ".txt":
		list, err = lines(data)
	case ".csv":
		list, err = table(data)
	case ".json":
		err = json.Unmarshal(data, &list)
	}
	if err != nil {
		return nil, setupErrorf("", "%s: is no manifest: %v", name, err)
	}
	for i, e := range list {
		if e.Input == "" || strings.ContainsRune(e.Input+e.Output, 0) {
			return nil, setupErrorf("", "%s: entry %d: input %q: want the path of a model", name, i+1, e.Input)
		}
		item := Item{Name: e.Output, Input: filepath.FromSlash(e.Input)}
		if !filepath.IsAbs(item.Input) {
			item.Input = filepath.Join(dir, item.Input)
		}
		if item.Name == "" {
			item.Name = filepath.Base(item.Input)
			if rel, err := filepath.Rel(dir, item.Input); err == nil && filepath.IsLocal(rel) {
				item.Name = filepath.ToSlash(rel)
			}
		}
		item.Name = path.Clean(item.Name)
		items = append(items, item)
	}
	return items, nil
}

// lines reads a .txt manifest.
func lines(data []byte) (list []entry, err error) {
	s := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.ContainsRune(line, 0) {
			return nil, fmt.Errorf("line %d: holds a zero byte: want a path per line", n)
		}
		list = append(list, entry{Input: line})
	}
	return list, s.Err()
}

// table reads a .csv manifest.
func table(data []byte) (list []entry, err error) {
	r := csv.NewReader(bytes.NewReader(data))
	head, err := r.Read()
	if err == io.EOF {
		return nil, errors.New("it is empty")
	}
	if err != nil {
		return nil, err
	}
	input, output := slices.Index(head, "input"), slices.Index(head, "output")
	if input < 0 {
		return nil, fmt.Errorf("the first line is %q, want the names of the columns, input among them", head)
	}
	for {
		row, err := r.Read()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		e := entry{Input: row[input]}
		if output >= 0 {
			e.Output = row[output]
		}
		list = append(list, e)
	}
}

// resolve returns the absolute path without links, as far as it exists.
func resolve(p string) (string, error) {
	abs, err := filepath.Abs(p)
	if err != nil {
		return "", err
	}
	for rest := ""; ; {
		real, err := filepath.EvalSymlinks(abs)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		parent := filepath.Dir(abs)
		if !errors.Is(err, fs.ErrNotExist) || parent == abs {
			return "", err
		}
		abs, rest = parent, filepath.Join(filepath.Base(abs), rest)
	}
}

// contains reports whether a path lies in a folder; both are resolved.
func contains(dir, p string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && filepath.IsLocal(rel)
}
