//go:build !amd64

package cpu

func offered() Level { return Portable }
