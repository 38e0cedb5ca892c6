package main

import "github.com/natonnx/natonnx/internal/legible"

// amount writes a count: 1.814 G.
func amount(n int64) string { return legible.Amount(n, " ", "") }

// size writes a number of bytes: 46.83 MB.
func size(n int64) string { return legible.Amount(n, " ", "B") }

// change writes by how much a number grew or shrank.
func change(before, after int64) string { return legible.Change(before, after, "") }
