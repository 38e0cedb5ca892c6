// Package engine runs ONNX graphs forwards and backwards, in Go alone.
//
// [Compile] plans a model once: constants are folded, convolutions take up the
// normalization, addition and activation that follow them, weights are packed
// for the processor at hand, and every value is given back after its last
// reader. The [Program] then runs any batch, from several goroutines at once.
// [CompileTraining] does the same for a model whose parameters change, and
// keeps what the way back needs.
//
// Activations of convolution networks lie channels-last in memory; that is
// nobody's business outside: tensors that go in and come out are row-major in
// the dimensions that the model declares. Results depend on the instruction set
// in use ([cpu.Used]) in their last bits, and not on the number of cores.
package engine
