//go:build !unix

package main

import "os"

// terminalWidth returns 80 if f is a console, or 0.
func terminalWidth(f *os.File) int {
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return 0
	}
	return 80
}
