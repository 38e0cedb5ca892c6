package onnxgraph

import "google.golang.org/protobuf/encoding/protowire"

// Field numbers of the ONNX schema (onnx.proto3), for the messages that are decoded.
const (
	modelIRVersion       protowire.Number = 1
	modelProducerName    protowire.Number = 2
	modelProducerVersion protowire.Number = 3
	modelDomain          protowire.Number = 4
	modelVersion         protowire.Number = 5
	modelGraph           protowire.Number = 7
	modelOpsetImport     protowire.Number = 8
	modelMetadata        protowire.Number = 14
	modelFunctions       protowire.Number = 25

	opsetDomain  protowire.Number = 1
	opsetVersion protowire.Number = 2

	propertyKey   protowire.Number = 1
	propertyValue protowire.Number = 2

	functionName     protowire.Number = 1
	functionDomain   protowire.Number = 10
	functionOverload protowire.Number = 13

	graphNode         protowire.Number = 1
	graphName         protowire.Number = 2
	graphInitializer  protowire.Number = 5
	graphInput        protowire.Number = 11
	graphOutput       protowire.Number = 12
	graphValueInfo    protowire.Number = 13
	graphQuantization protowire.Number = 14
	graphSparse       protowire.Number = 15

	annotationTensor protowire.Number = 1

	nodeInput     protowire.Number = 1
	nodeOutput    protowire.Number = 2
	nodeName      protowire.Number = 3
	nodeOpType    protowire.Number = 4
	nodeAttribute protowire.Number = 5
	nodeDomain    protowire.Number = 7

	attrName       protowire.Number = 1
	attrF          protowire.Number = 2
	attrI          protowire.Number = 3
	attrS          protowire.Number = 4
	attrT          protowire.Number = 5
	attrG          protowire.Number = 6
	attrFloats     protowire.Number = 7
	attrInts       protowire.Number = 8
	attrStrings    protowire.Number = 9
	attrTensors    protowire.Number = 10
	attrGraphs     protowire.Number = 11
	attrTypeProto  protowire.Number = 14
	attrTypeProtos protowire.Number = 15
	attrType       protowire.Number = 20
	attrRefName    protowire.Number = 21
	attrSparse     protowire.Number = 22
	attrSparses    protowire.Number = 23

	tensorDims         protowire.Number = 1
	tensorDataType     protowire.Number = 2
	tensorFloatData    protowire.Number = 4
	tensorInt32Data    protowire.Number = 5
	tensorStringData   protowire.Number = 6
	tensorInt64Data    protowire.Number = 7
	tensorName         protowire.Number = 8
	tensorRawData      protowire.Number = 9
	tensorDoubleData   protowire.Number = 10
	tensorUint64Data   protowire.Number = 11
	tensorExternalData protowire.Number = 13
	tensorDataLocation protowire.Number = 14

	sparseValues protowire.Number = 1
	sparseDims   protowire.Number = 3

	valueName protowire.Number = 1
	valueType protowire.Number = 2

	typeTensor   protowire.Number = 1
	typeSequence protowire.Number = 4
	typeMap      protowire.Number = 5
	typeOpaque   protowire.Number = 7
	typeSparse   protowire.Number = 8
	typeOptional protowire.Number = 9

	tensorTypeElem  protowire.Number = 1
	tensorTypeShape protowire.Number = 2
	shapeDim        protowire.Number = 1
	dimValue        protowire.Number = 1
	dimParam        protowire.Number = 2

	locationExternal = 1 // TensorProto.DataLocation.EXTERNAL
)
