//go:build !unix

package main

import "os"

// terminal reports whether f is a console. How many columns it has is not known.
func terminal(f *os.File) (columns int, ok bool) {
	info, err := f.Stat()
	return 0, err == nil && info.Mode()&os.ModeCharDevice != 0
}
