//go:build unix && !solaris && !aix

package batch

import (
	"os"
	"syscall"
)

// lockFile locks a file for this process alone. It waits for the lock, or fails
// with errLocked.
func lockFile(f *os.File, wait bool) error {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EWOULDBLOCK:
			return errLocked
		}
		return err
	}
}
