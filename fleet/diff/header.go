package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
)

// interfaceChanges compares what models say of themselves and what they take
// and give.
func interfaceChanges(a, b *onnxgraph.Model) []Change {
	list := []Change{}
	scalar := func(what, before, after string) {
		if before != after {
			list = append(list, Change{Changed, what, "", before, after})
		}
	}
	list = append(list, entryChanges("opset", opsets(a), opsets(b))...)
	scalar("IR version", fmt.Sprint(a.IRVersion), fmt.Sprint(b.IRVersion))
	scalar("producer", producer(a), producer(b))
	scalar("domain", a.Domain, b.Domain)
	scalar("model version", fmt.Sprint(a.ModelVersion), fmt.Sprint(b.ModelVersion))
	scalar("graph", a.Graph.Name, b.Graph.Name)
	list = append(list, entryChanges("function", functions(a), functions(b))...)
	list = append(list, portChanges("input", a.Graph.RealInputs(), b.Graph.RealInputs())...)
	return append(list, portChanges("output", a.Graph.Outputs, b.Graph.Outputs)...)
}

func producer(m *onnxgraph.Model) string {
	return strings.TrimSpace(m.Producer + " " + m.ProducerVersion)
}

func metadataChanges(a, b *onnxgraph.Model) []Change {
	return entryChanges("metadata", a.Metadata, b.Metadata)
}

func opsets(m *onnxgraph.Model) (list []onnxgraph.Property) {
	for _, o := range m.Opsets {
		list = append(list, onnxgraph.Property{Key: o.Domain, Value: fmt.Sprint(o.Version)})
	}
	return list
}

func functions(m *onnxgraph.Model) (list []onnxgraph.Property) {
	for _, f := range m.Functions {
		name := f.Domain + "::" + f.Name
		if f.Overload != "" {
			name += ":" + f.Overload
		}
		list = append(list, onnxgraph.Property{Key: name})
	}
	return list
}

// entryChanges compares entries by key. A key that stands there more than once
// has all its values.
func entryChanges(what string, a, b []onnxgraph.Property) []Change {
	list := []Change{}
	before, after := byKey(a), byKey(b)
	for _, key := range keys(a) {
		was, is := before[key], after[key]
		switch {
		case is == nil:
			list = append(list, Change{Removed, what, key, strings.Join(was, "; "), ""})
		case !slices.Equal(was, is):
			list = append(list, Change{Changed, what, key, strings.Join(was, "; "), strings.Join(is, "; ")})
		}
	}
	for _, key := range keys(b) {
		if before[key] == nil {
			list = append(list, Change{Added, what, key, "", strings.Join(after[key], "; ")})
		}
	}
	return list
}

func byKey(list []onnxgraph.Property) map[string][]string {
	m := map[string][]string{}
	for _, p := range list {
		m[p.Key] = append(m[p.Key], p.Value)
	}
	return m
}

// keys lists the keys in order, each once.
func keys(list []onnxgraph.Property) (names []string) {
	seen := map[string]bool{}
	for _, p := range list {
		if !seen[p.Key] {
			seen[p.Key] = true
			names = append(names, p.Key)
		}
	}
	return names
}

// portChanges compares inputs or outputs. Those of one name belong together;
// of the others those at one place do.
func portChanges(what string, a, b []*onnxgraph.Value) (list []Change) {
	pairs := pairPorts(a, b)
	taken := map[int]bool{}
	for i, v := range a {
		j, ok := pairs[i]
		if !ok {
			list = append(list, Change{Removed, what, v.Name, typeText(v.Type), ""})
			continue
		}
		taken[j] = true
		w := b[j]
		if v.Name != w.Name {
			list = append(list, Change{Renamed, what, v.Name, v.Name, w.Name})
		}
		if was, is := typeText(v.Type), typeText(w.Type); was != is {
			list = append(list, Change{Changed, what, w.Name, was, is})
		}
		if i != j && len(a) == len(b) {
			list = append(list, Change{Moved, what, w.Name, fmt.Sprint(i), fmt.Sprint(j)})
		}
	}
	for j, w := range b {
		if !taken[j] {
			list = append(list, Change{Added, what, w.Name, "", typeText(w.Type)})
		}
	}
	return list
}

// pairPorts maps the index of each value of a to that of the one of b that it
// is: the one of its name (where several bear it, in their order), or else the
// one at its place, where that has no namesake either.
func pairPorts(a, b []*onnxgraph.Value) map[int]int {
	at := map[string][]int{}
	for j, w := range b {
		at[w.Name] = append(at[w.Name], j)
	}
	pairs, taken := map[int]int{}, map[int]bool{}
	for i, v := range a {
		if free := at[v.Name]; len(free) > 0 {
			pairs[i], taken[free[0]] = free[0], true
			at[v.Name] = free[1:]
		}
	}
	for i := range min(len(a), len(b)) {
		if _, ok := pairs[i]; !ok && !taken[i] {
			pairs[i], taken[i] = i, true
		}
	}
	return pairs
}

func typeText(t onnxgraph.Type) string {
	switch t.Kind {
	case "tensor":
		return fmt.Sprintf("%v %v", t.Elem, t.Shape)
	case "":
		return "no type"
	}
	return t.Kind
}
