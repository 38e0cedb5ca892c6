// Package policybench judges policies and their rivals on NAS-Bench-201, where
// the accuracy of every cell is known: how much of what transformations can
// gain, each of them gains, on cells that no policy was trained on or chosen by.
package policybench
