package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// Changed returns those of the files that git says changed since ref: in
// commits since the branch left ref, in the index, in the working tree, and
// those that git does not know yet and does not ignore. A file that was renamed
// has changed, and so has a model whose external data have. A ConfigError says
// that git or the reference is not there.
func Changed(ctx context.Context, files []Found, ref string) ([]Found, error) {
	c := &changes{ctx: ctx, ref: ref, roots: map[string]map[string]bool{}}
	var list []Found
	for _, f := range files {
		changed, err := c.touched(f.Path)
		if err != nil {
			return nil, err
		}
		if changed {
			list = append(list, f)
		}
	}
	return list, nil
}

// changes are the files that changed, by repository.
type changes struct {
	ctx   context.Context
	ref   string
	roots map[string]map[string]bool // by the repository's root: real paths
}

// touched reports whether a model or its external data changed.
func (c *changes) touched(path string) (bool, error) {
	changed, err := c.has(path)
	if changed || err != nil {
		return changed, err
	}
	m, err := onnxgraph.Open(path)
	if err != nil {
		return false, nil // as it was before
	}
	for _, data := range DataFiles(m) {
		file := filepath.Join(filepath.Dir(path), data)
		if !isFile(file) {
			continue
		}
		if changed, err := c.has(file); changed || err != nil {
			return changed, err
		}
	}
	return false, nil
}

func (c *changes) has(path string) (bool, error) {
	real, err := realPath(path)
	if err != nil {
		return false, err
	}
	root := ""
	err = upwards(filepath.Dir(real), func(dir string) bool {
		if isRepository(dir) {
			root = dir
		}
		return root != ""
	})
	if err != nil {
		return false, err
	}
	if root == "" {
		return false, &ConfigError{At: "--changed-since", Msg: path + " is in no git repository", Hint: "leave --changed-since out to check all files"}
	}
	if c.roots[root] == nil {
		if c.roots[root], err = c.list(root); err != nil {
			return false, err
		}
	}
	return c.roots[root][real], nil
}

// realPath resolves links to folders. A link to a file stays: git has the link.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// list asks git about one repository.
func (c *changes) list(root string) (map[string]bool, error) {
	if strings.HasPrefix(c.ref, "-") || c.ref == "" {
		return nil, c.unknown(root)
	}
	if _, err := c.git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", c.ref+"^{commit}"); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, c.unknown(root)
		}
		return nil, err
	}
	since := c.ref
	if base, err := c.git(root, "merge-base", c.ref, "HEAD"); err == nil {
		since = strings.TrimSpace(string(base))
	}
	changed := map[string]bool{}
	for _, args := range [][]string{
		{"diff", "--name-only", "--no-ext-diff", "--no-textconv", "--diff-filter=d", "-z", since, "--"},
		{"ls-files", "--others", "--exclude-standard", "-z"},
	} {
		out, err := c.git(root, args...)
		if err != nil {
			return nil, err
		}
		for name := range bytes.SplitSeq(out, []byte{0}) {
			changed[filepath.Join(root, filepath.FromSlash(string(name)))] = true
		}
	}
	return changed, nil
}

func (c *changes) unknown(root string) error {
	return &ConfigError{At: "--changed-since " + c.ref, Msg: "git knows no such commit in " + root,
		Hint: "a shallow clone has no other branches: git fetch origin " + c.ref + ", or check out with fetch-depth: 0"}
}

func (c *changes) git(root string, args ...string) ([]byte, error) {
	git := exec.CommandContext(c.ctx, "git", append([]string{"-C", root, "-c", "core.quotePath=false"}, args...)...)
	git.Env = append(os.Environ(), "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0")
	var stderr bytes.Buffer
	git.Stderr = &stderr
	out, err := git.Output()
	switch {
	case err == nil:
		return out, nil
	case c.ctx.Err() != nil:
		return nil, c.ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return nil, &ConfigError{At: "--changed-since", Msg: "git is not installed, or not in the PATH", Hint: "leave --changed-since out to check all files"}
	}
	line, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
	return nil, fmt.Errorf("git %s: %w: %s", args[0], err, line)
}
