package check

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Found is a model that an argument leads to.
type Found struct {
	Path string
	// Rel is the path below the folder that was named, by which the base's model
	// is found; the path itself of a file that was named.
	Rel string
}

// Find lists the models that an argument names: a file as it is, the .onnx
// files below a folder, or those that match a pattern (*, ?, [...], and ** for
// any folders). Folders whose names begin with a dot are passed over. The order
// is that of the paths. What cannot be read is an error.
func Find(ctx context.Context, arg string) ([]Found, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return below(ctx, arg, isModel, false)
	case err == nil:
		return []Found{{arg, arg}}, nil
	case !strings.ContainsAny(arg, "*?["):
		return nil, err
	}
	pattern := filepath.ToSlash(filepath.Clean(arg))
	root, rest := split(pattern)
	if err := validPattern(rest); err != nil {
		return nil, fmt.Errorf("%s: %w", arg, err)
	}
	if _, err := os.Stat(filepath.FromSlash(root)); err != nil {
		return nil, err
	}
	return below(ctx, filepath.FromSlash(root), func(rel string) bool { return match(rest, rel) }, true)
}

// split cuts a pattern into the folder that it begins with and the rest.
func split(pattern string) (root, rest string) {
	at := 0
	for i, part := range strings.Split(pattern, "/") {
		if strings.ContainsAny(part, "*?[") {
			break
		}
		if at += len(part); i >= 0 {
			at++
		}
	}
	root, rest = strings.TrimSuffix(pattern[:at], "/"), pattern[at:]
	if root == "" && at > 0 {
		root = "/"
	}
	if root == "" {
		root = "."
	}
	return root, rest
}

// below lists files under a folder whose path from there is wanted.
func below(ctx context.Context, root string, wanted func(rel string) bool, named bool) (list []Found, err error) {
	top := strings.TrimSuffix(root, string(filepath.Separator)) + string(filepath.Separator) // follows a link
	err = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if e.IsDir() {
			if path != top && strings.HasPrefix(e.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(top, path)
		if err != nil || !wanted(filepath.ToSlash(rel)) {
			return err
		}
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return nil // a pipe, a device, a link to a folder
		}
		if named {
			rel = path
		}
		list = append(list, Found{path, rel})
		return nil
	})
	return list, err
}

func isModel(name string) bool { return strings.EqualFold(filepath.Ext(name), ".onnx") }

// Base returns the path of the model that a file is compared with: against
// itself where that is a file, and else what stands below it under the same
// relative path or, for a file that was named itself, under its name. Where
// there is none it returns "" and the reason.
func Base(against string, f Found) (path, missing string) {
	info, err := os.Stat(against)
	if err == nil && !info.IsDir() {
		return against, ""
	}
	tries := []string{f.Rel, filepath.Base(f.Path)}
	if f.Rel != f.Path {
		tries = tries[:1]
	}
	for _, rel := range tries {
		if !filepath.IsLocal(rel) {
			continue
		}
		if path := filepath.Join(against, rel); isFile(path) {
			return path, ""
		}
	}
	return "", fmt.Sprintf("the model is new: there is no %s below the base %s", filepath.ToSlash(tries[0]), filepath.ToSlash(against))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// Unique drops files that lead to the same path as one before.
func Unique(list []Found) []Found {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(f Found) bool {
		path := filepath.Clean(f.Path)
		again := seen[path]
		seen[path] = true
		return again
	})
}
