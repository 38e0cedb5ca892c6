package transformer

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// DefaultPolicy is the built-in policy that is used where none is named.
const DefaultPolicy = "nat-gcn"

//go:embed policies/nat-gcn.onnx
var natGCN []byte

var builtins = map[string]func() (*GCN, error){
	DefaultPolicy: sync.OnceValues(func() (*GCN, error) { return Parse(DefaultPolicy+" (built in)", natGCN) }),
}

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
