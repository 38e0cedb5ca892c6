//go:build unix

package onnxgraph_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// limits take from this process the means to write a file.
var limits = map[string]func(path string) error{
	"size limit": func(string) error {
		signal.Ignore(syscall.SIGXFSZ)
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4, Max: 4})
	},
	"read-only folder": func(path string) error {
		if err := os.Chmod(filepath.Dir(path), 0o555); err != nil || os.Geteuid() != 0 {
			return err
		}
		return syscall.Setuid(65534) // root may write everywhere
	},
}

// pipe makes a named pipe.
func pipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skip(err)
	}
}

// umask sets the mask of new files' permissions for the time of a test.
func umask(t *testing.T, mask int) {
	old := syscall.Umask(mask)
	t.Cleanup(func() { syscall.Umask(old) })
}

// freeBytes returns the room on the disk that holds a folder.
func freeBytes(dir string) uint64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0
	}
	return uint64(s.Bavail) * uint64(s.Bsize)
}
