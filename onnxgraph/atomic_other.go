//go:build !linux

package onnxgraph

import (
	"os"
	"runtime"
)

// reserve has no portable form; a full disk is found out while writing.
func reserve(*os.File, int64) error { return nil }

// startWriteback has no portable form either.
func startWriteback(*os.File, int64, int64) {}

// syncDir makes a rename in the folder durable, where folders can be synced.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
