// The generators of the assembly in engine, a module of their own so that users
// of natonnx do not depend on avo.
module github.com/natonnx/natonnx/engine/gen

go 1.25

require github.com/mmcloughlin/avo v0.6.0
