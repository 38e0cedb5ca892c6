//go:build !unix

package onnxgraph_test

import "testing"

var limits = map[string]func(path string) error{}

func pipe(t *testing.T, _ string) { t.Skip("no named pipes here") }
func umask(t *testing.T, _ int)   { t.Skip("no umask here") }
func freeBytes(dir string) uint64 { return 0 }
