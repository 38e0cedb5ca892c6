module github.com/natonnx/natonnx

go 1.25

require (
	github.com/urfave/cli/v2 v2.27.7
	go4.org/unsafe/assume-no-moving-gc v0.0.0-20231121144256-b99613f794b6
	google.golang.org/protobuf v1.36.12
	gorgonia.org/gorgonia v0.9.18
	gorgonia.org/tensor v0.9.24
)
