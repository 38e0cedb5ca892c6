//go:build !linux && !darwin

package main

// machineMemory returns how many bytes of memory the machine has; 0 where it is not known.
func machineMemory() int64 { return 0 }
