package onnxgraph

// An operator is the one entry that says what natonnx knows of an operator of
// ONNX's own domain, for all its opset versions.
type operator struct {
	// infer gives the types of the outputs, as many as it knows; nil for none.
	infer func(*call) []Type
	// fold gives the elements of a small integer output; nil where there is none.
	fold func(*call) []Dim
	// madds counts multiply-adds, elementwise all other arithmetic; nil for none.
	madds, elementwise func(*counting) Dim
	// weights are the inputs that hold learnable parameters where they are constant.
	weights []int
	// operands says that any constant input of more than one element and of
	// floats is learnable too: the bias in MatMul+Add, the scale in Mul.
	operands bool
	// integer says that weights may be integers.
	integer bool
	// passes says that the output holds the first input's elements, moved or
	// in another encoding: what is learnable stays learnable.
	passes bool
}

// lookup returns the entry of a node's operator.
func lookup(n *Node) (operator, bool) {
	if n.Domain != "" {
		return operator{}, false
	}
	op, ok := operators[n.OpType]
	return op, ok
}

var operators = map[string]operator{
	// Convolutions and matrix products.
	"Conv":          {infer: inferConv(0, 1, 0), madds: convMAdds(1), weights: []int{1, 2}},
	"ConvInteger":   {infer: inferConvInteger, madds: convMAdds(1), weights: []int{1}, integer: true},
	"QLinearConv":   {infer: inferConv(0, 3, 7), madds: convMAdds(3), weights: []int{3, 8}, integer: true},
	"ConvTranspose": {infer: inferConvTranspose, madds: convTransposeMAdds, weights: []int{1, 2}},
	"Gemm":          {infer: inferGemm, madds: gemmMAdds, weights: []int{0, 1, 2}},
	"MatMul":        {infer: inferMatMul(0, 1, 0), madds: matMulMAdds, weights: []int{0, 1}},
	"MatMulInteger": {infer: inferMatMulInteger, madds: matMulMAdds, weights: []int{0, 1}, integer: true},
	"QLinearMatMul": {infer: inferMatMul(0, 3, 7), madds: matMulMAdds, weights: []int{0, 3}, integer: true},

	// Normalisation.
	"BatchNormalization":        {infer: inferBatchNorm, elementwise: perOutput, weights: []int{1, 2}},
	"InstanceNormalization":     {infer: same, elementwise: perOutput, weights: []int{1, 2}},
	"GroupNormalization":        {infer: same, elementwise: perOutput, weights: []int{1, 2}},
	"LayerNormalization":        {infer: inferLayerNorm, elementwise: perOutput, weights: []int{1, 2}},
	"RMSNormalization":          {infer: same, elementwise: perOutput, weights: []int{1}},
	"MeanVarianceNormalization": unary,
	"LpNormalization":           unary,
	"LRN":                       {infer: same, elementwise: lrnWork},

	// Pooling.
	"MaxPool":           {infer: inferPool, elementwise: poolWork},
	"AveragePool":       {infer: inferPool, elementwise: poolWork},
	"LpPool":            {infer: inferPool, elementwise: poolWork},
	"GlobalAveragePool": {infer: inferGlobalPool, elementwise: perInput},
	"GlobalMaxPool":     {infer: inferGlobalPool, elementwise: perInput},
	"GlobalLpPool":      {infer: inferGlobalPool, elementwise: perInput},

	// One input, the same shape out.
	"Abs": unary, "Acos": unary, "Acosh": unary, "Asin": unary, "Asinh": unary, "Atan": unary, "Atanh": unary,
	"BitwiseNot": unary, "Ceil": unary, "Celu": unary, "Clip": unary, "Cos": unary, "Cosh": unary, "CumSum": unary,
	"Elu": unary, "Erf": unary, "Exp": unary, "Floor": unary, "Gelu": unary, "HardSigmoid": unary, "HardSwish": unary,
	"Hardmax": unary, "LeakyRelu": unary, "Log": unary, "LogSoftmax": unary, "Mish": unary, "Not": unary,
	"Reciprocal": unary, "Relu": unary, "Round": unary, "Selu": unary, "Shrink": unary, "Sigmoid": unary, "Sign": unary,
	"Sin": unary, "Sinh": unary, "Softmax": unary, "Softplus": unary, "Softsign": unary, "Sqrt": unary, "Swish": unary,
	"Tan": unary, "Tanh": unary, "ThresholdedRelu": unary,
	"IsInf":    {infer: sameOf(Bool), elementwise: perOutput},
	"IsNaN":    {infer: sameOf(Bool), elementwise: perOutput},
	"Neg":      {infer: same, fold: foldNeg, elementwise: perOutput},
	"PRelu":    {infer: same, elementwise: perOutput, weights: []int{1}},
	"Dropout":  {infer: inferDropout},
	"Identity": {infer: same, fold: foldSame, passes: true},
	"Trilu":    {infer: same},

	// Broadcasting.
	"Add": arithmetic(Dim.plus), "Sub": arithmetic(Dim.minus), "Mul": arithmetic(Dim.times), "Div": arithmetic(quotient),
	"Pow": arithmetic(nil), "Mod": arithmetic(nil), "BitShift": arithmetic(nil),
	"BitwiseAnd": arithmetic(nil), "BitwiseOr": arithmetic(nil), "BitwiseXor": arithmetic(nil),
	"Sum": variadic, "Max": variadic, "Min": variadic, "Mean": variadic,
	"Equal":   {infer: comparison, fold: foldBinary(equality), elementwise: perOutput},
	"Greater": compare, "GreaterOrEqual": compare, "Less": compare, "LessOrEqual": compare,
	"And": compare, "Or": compare, "Xor": compare,
	"Where":  {infer: inferWhere, fold: foldWhere, elementwise: perOutput},
	"Expand": {infer: inferExpand},

	// Reductions.
	"ReduceL1": reduction, "ReduceL2": reduction, "ReduceLogSum": reduction, "ReduceLogSumExp": reduction,
	"ReduceMax": reduction, "ReduceMean": reduction, "ReduceMin": reduction, "ReduceSum": reduction,
	"ReduceSumSquare": reduction,
	"ReduceProd":      {infer: inferReduce, fold: foldProduct, elementwise: perInput},
	"ArgMax":          {infer: inferArg, elementwise: perInput},
	"ArgMin":          {infer: inferArg, elementwise: perInput},

	// Shapes, and elements that only move.
	"Concat":          {infer: inferConcat, fold: foldConcat},
	"Split":           {infer: inferSplit},
	"Slice":           {infer: inferSlice, fold: foldSlice},
	"Pad":             {infer: inferPad},
	"Tile":            {infer: inferTile},
	"Flatten":         {infer: inferFlatten, passes: true},
	"Reshape":         {infer: inferReshape, fold: foldSame, passes: true},
	"Squeeze":         {infer: inferSqueeze, fold: foldSame, passes: true},
	"Unsqueeze":       {infer: inferUnsqueeze, fold: foldSame, passes: true},
	"Transpose":       {infer: inferTranspose, fold: foldSame, passes: true},
	"DepthToSpace":    {infer: inferDepthToSpace},
	"SpaceToDepth":    {infer: inferSpaceToDepth},
	"Gather":          {infer: inferGather, fold: foldGather, weights: []int{0}},
	"GatherElements":  {infer: inferGatherElements},
	"GatherND":        {infer: inferGatherND},
	"Scatter":         {infer: same},
	"ScatterElements": {infer: same},
	"ScatterND":       {infer: same},
	"TopK":            {infer: inferTopK, elementwise: perInput},
	"Shape":           {infer: inferShape, fold: foldShape},
	"Size":            {infer: inferSize, fold: foldSize},
	"Resize":          {infer: inferResize, elementwise: perOutput},
	"Upsample":        {infer: inferUpsample, elementwise: perOutput},

	// Constants and types.
	"Constant":              {infer: inferConstant, fold: foldConstant},
	"ConstantOfShape":       {infer: inferConstantOfShape, fold: foldFill},
	"Range":                 {infer: inferRange, fold: foldRange},
	"Cast":                  {infer: inferCast, fold: foldCast, elementwise: perOutput, passes: true},
	"CastLike":              {infer: inferCastLike, fold: foldCast, elementwise: perOutput, passes: true},
	"QuantizeLinear":        {infer: inferQuantize, elementwise: perOutput, passes: true},
	"DequantizeLinear":      {infer: inferDequantize, elementwise: perOutput, passes: true},
	"DynamicQuantizeLinear": {infer: inferDynamicQuantize, elementwise: perOutput},
}

var (
	unary     = operator{infer: same, elementwise: perOutput}
	variadic  = operator{infer: broadcasting, elementwise: sumWork, operands: true}
	compare   = operator{infer: comparison, elementwise: perOutput}
	reduction = operator{infer: inferReduce, elementwise: perInput}
)

// arithmetic is the entry of a broadcasting operator of two inputs; f works on
// the elements of shapes and may be nil.
func arithmetic(f func(a, b Dim) Dim) operator {
	op := operator{infer: broadcasting, elementwise: perOutput, operands: true}
	if f != nil {
		op.fold = foldBinary(f)
	}
	return op
}
