//go:build !windows && (!unix || solaris || aix)

package batch

import (
	"errors"
	"os"
)

// lockFile fails, as these systems have no locks that end with their process.
func lockFile(*os.File, bool) error { return errors.ErrUnsupported }
