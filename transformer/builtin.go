package transformer

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// DefaultPolicy is the built-in policy that is used where none is named.
const DefaultPolicy = "nat-gcn"

// DefaultPolicyOf returns the name of the built-in policy of the rules.
func DefaultPolicyOf(rules Rules) string { return rules.Name + "-gcn" }

//go:embed policies/*.onnx
var policyFiles embed.FS

// builtins loads each built-in policy once, by name.
var builtins = func() map[string]func() (*GCN, error) {
	list := map[string]func() (*GCN, error){}
	files, _ := policyFiles.ReadDir("policies") // embedded: always there
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".onnx")
		list[name] = sync.OnceValues(func() (*GCN, error) {
			data, err := policyFiles.ReadFile("policies/" + f.Name())
			if err != nil {
				return nil, err
			}
			return Parse(name+" (built in)", data)
		})
	}
	return list
}()

// Builtins returns the names of the built-in policies, sorted.
func Builtins() []string {
	names := make([]string, 0, len(builtins))
	for name := range builtins {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Builtin returns a built-in policy by name.
func Builtin(name string) (*GCN, error) {
	load, ok := builtins[name]
	if !ok {
		return nil, fmt.Errorf("no built-in policy %q; there are: %s", name, strings.Join(Builtins(), ", "))
	}
	return load()
}
