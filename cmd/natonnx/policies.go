package main

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/internal/typo"
	"github.com/natonnx/natonnx/transformer"
)

// noPolicy is the name under which no decision is made.
const noPolicy = "none"

// openPolicy finds a built-in policy or reads a policy file; nil for none.
func openPolicy(name string) (transformer.Policy, error) {
	if name == noPolicy {
		return nil, nil
	}
	p, err := findPolicy(name)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func findPolicy(name string) (*transformer.GCN, error) {
	builtins := transformer.Builtins()
	if slices.Contains(builtins, name) {
		return transformer.Builtin(name)
	}
	p, err := transformer.Load(name)
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(name, "/\\.") {
		err := usagef("there is no policy %q, neither built in nor a file", name)
		err.hint = "natonnx policy list shows the built-in ones"
		if near := typo.Nearest(name, append(builtins, noPolicy)); near != "" {
			err.hint = "did you mean " + near + "?"
		}
		return nil, err
	}
	return p, err
}
