module github.com/natonnx/natonnx

go 1.25

require (
	github.com/urfave/cli/v2 v2.27.7
	google.golang.org/protobuf v1.36.12
)
