// The generators of the assembly in engine, a module of their own so that users
// of natonnx do not depend on avo.
module github.com/natonnx/natonnx/engine/gen

go 1.25

require github.com/mmcloughlin/avo v0.6.0

require (
	golang.org/x/mod v0.21.0 // indirect
	golang.org/x/sync v0.8.0 // indirect
	golang.org/x/tools v0.26.0 // indirect
)
