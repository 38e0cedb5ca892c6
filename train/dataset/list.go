package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	listName = "labels.csv"
	maxList  = 256 << 20 // bytes of labels.csv
)

// openList reads labels.csv, which names pictures by their path from its
// folder. The pictures are not looked at yet, but must be there.
func openList(path string) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxList {
		return nil, fmt.Errorf("%s: want a regular file of at most %d bytes, found %v of %d", path, maxList, info.Mode().Type(), info.Size())
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	items, err := readList(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f := &files{what: "pictures of " + filepath.Base(path), root: filepath.Dir(path), items: items}
	for _, it := range items {
		if _, err := os.Stat(filepath.Join(f.root, filepath.FromSlash(it.path))); err != nil {
			return nil, fmt.Errorf("%s: picture %q: %w", path, it.path, cause(err))
		}
	}
	return f, nil
}

// readList reads lines of file,class_index. A first line with names may be
// there, and then says which columns they are; other columns are passed over.
func readList(r io.Reader) ([]item, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	in.TrimLeadingSpace = true
	in.ReuseRecord = true
	var items []item
	seen := map[string]bool{}
	file, class := 0, 1
	for first := true; ; first = false {
		row, err := in.Read()
		if err == io.EOF {
			return items, nil
		}
		if err != nil {
			return nil, err
		}
		if first {
			row[0] = strings.TrimPrefix(row[0], "\ufeff") // as Excel writes it
			if f, c, ok := header(row); ok {
				file, class = f, c
				continue
			}
		}
		line, _ := in.FieldPos(0)
		it, err := parseItem(row, file, class)
		if err == nil && seen[it.path] {
			err = fmt.Errorf("%q is listed twice", it.path)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		seen[it.path] = true
		items = append(items, it)
	}
}

// header finds the columns in a line of names.
func header(row []string) (file, class int, ok bool) {
	find := func(name string, otherwise int) int {
		at := slices.IndexFunc(row, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), name) })
		if at < 0 {
			return otherwise
		}
		ok = true
		return at
	}
	file, class = find("file", 0), find("class_index", 1)
	if !ok && len(row) > 1 {
		_, err := strconv.Atoi(strings.TrimSpace(row[1]))
		ok = err != nil
	}
	return file, class, ok
}

func parseItem(row []string, file, class int) (item, error) {
	if len(row) <= max(file, class) {
		return item{}, fmt.Errorf("%d columns, want file and class_index in columns %d and %d", len(row), file+1, class+1)
	}
	path := strings.TrimSpace(row[file])
	local := filepath.FromSlash(path)
	switch {
	case path == "":
		return item{}, errors.New("no file is named")
	case !filepath.IsLocal(local) || strings.ContainsRune(path, 0):
		return item{}, fmt.Errorf("file %q: the path leaves the folder of the list", path)
	}
	n, err := strconv.Atoi(strings.TrimSpace(row[class]))
	if err != nil || n < 0 || n > math.MaxInt32 {
		return item{}, fmt.Errorf("class_index %q, want a number of 0 or more", row[class])
	}
	return item{filepath.ToSlash(filepath.Clean(local)), n}, nil
}
