// Command natonnx rewrites ONNX networks with Neural Architecture Transformer
// policies. Each verb has a file of its own, which holds its flags and what it
// prints; the work is done by the library packages.
package main

import "os"

func main() { os.Exit(run(os.Args[1:])) }
