package engine

// operators is the catalogue of what the engine runs: ONNX's own operators, for
// opsets 7 to the newest.
var operators = map[string]maker{
	// Convolution, matrix products, normalization, pooling.
	"Conv":               newConvolution,
	"Gemm":               newGemm,
	"MatMul":             newMatMul,
	"BatchNormalization": newBatchNorm,
	"MaxPool":            newMaxPool,
	"AveragePool":        newAveragePool,
	"GlobalAveragePool":  newGlobalAverage,
	"GlobalMaxPool":      newGlobalMax,

	// Arithmetic with broadcasting.
	"Add": newArithmetic, "Sub": newArithmetic, "Mul": newArithmetic, "Div": newArithmetic, "PRelu": newArithmetic,
	"Sum": newVariadic, "Mean": newVariadic, "Max": newVariadic, "Min": newVariadic,
	"Pow": newPow, "Mod": newMod, "BitShift": newBitShift,
	"BitwiseAnd": newArithmetic, "BitwiseOr": newArithmetic, "BitwiseXor": newArithmetic, "BitwiseNot": newExact,

	// Activations and other functions of one number.
	"Relu": newPointwise, "LeakyRelu": newPointwise, "Sigmoid": newPointwise, "HardSigmoid": newPointwise,
	"HardSwish": newPointwise, "Tanh": newPointwise, "Elu": newPointwise, "Celu": newPointwise, "Selu": newPointwise,
	"Softplus": newPointwise, "Softsign": newPointwise, "Gelu": newPointwise, "Mish": newPointwise, "Swish": newPointwise,
	"ThresholdedRelu": newPointwise, "Shrink": newPointwise, "Clip": newClip,
	"Neg": newPointwise, "Abs": newPointwise, "Sign": newPointwise, "Floor": newPointwise, "Ceil": newPointwise,
	"Round": newPointwise, "Reciprocal": newPointwise, "Sqrt": newPointwise, "Exp": newPointwise, "Log": newPointwise,
	"Erf": newPointwise, "Sin": newPointwise, "Cos": newPointwise, "Tan": newPointwise, "Asin": newPointwise,
	"Acos": newPointwise, "Atan": newPointwise, "Sinh": newPointwise, "Cosh": newPointwise, "Asinh": newPointwise,
	"Acosh": newPointwise, "Atanh": newPointwise,

	// Comparison, logic, conversion, quantization.
	"Equal": newComparison, "Greater": newComparison, "GreaterOrEqual": newComparison, "Less": newComparison,
	"LessOrEqual": newComparison, "And": newComparison, "Or": newComparison, "Xor": newComparison, "Not": newExact,
	"IsNaN": newIsNaN, "IsInf": newIsInf, "Where": newWhere, "Cast": newCast, "CastLike": newCastLike,
	"QuantizeLinear": newQuantize, "DequantizeLinear": newDequantize, "DynamicQuantizeLinear": newDynamicQuantize,

	// Shapes and constants.
	"Identity": newIdentity, "Dropout": newDropout, "Reshape": newReshape, "Flatten": newFlatten,
	"Squeeze": newSqueeze, "Unsqueeze": newUnsqueeze, "Shape": newShape, "Size": newSize,
	"Constant": newConstant, "ConstantOfShape": newConstantOfShape, "Range": newRange,

	// Movement of elements.
	"Transpose": newTranspose, "Slice": newSlice, "Pad": newPad, "Gather": newGather, "Split": newSplit,
	"Concat": newConcat, "Expand": newExpand, "Tile": newTile,
	"DepthToSpace": newDepthToSpace, "SpaceToDepth": newSpaceToDepth,

	// Reductions, and normalization of rows.
	"ReduceSum": newReduction, "ReduceMean": newReduction, "ReduceProd": newReduction, "ReduceMax": newReduction,
	"ReduceMin": newReduction, "ReduceL1": newReduction, "ReduceL2": newReduction, "ReduceSumSquare": newReduction,
	"ReduceLogSum": newReduction, "ReduceLogSumExp": newReduction, "ArgMax": newExtreme, "ArgMin": newExtreme,
	"Softmax": newSoftmax, "LogSoftmax": newSoftmax, "LRN": newLRN, "LayerNormalization": newLayerNorm,
	"InstanceNormalization": newInstanceNorm, "GroupNormalization": newGroupNorm,
}
