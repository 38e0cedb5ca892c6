package onnxgraph

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"
)

// ReadTensor reads the structure of a file that holds one TensorProto, as the
// input_0.pb and output_0.pb of ONNX's test_data_set folders do, and checks
// that its payload is what its dims and type ask for. The payload stays in the
// file until it is asked for. A file that holds no such tensor is a
// [*FormatError].
func ReadTensor(path string) (*Tensor, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &FormatError{File: path, Msg: "is not a regular file, want a tensor"}
	}
	m := &Model{Path: path, src: &source{&fileReader{path, info}, info.Size()}, dir: filepath.Dir(path)}
	d := &decoder{scanner: scanner{src: m.src, size: info.Size()}, model: m}
	t, err := d.decodeTensor(field{typ: protowire.BytesType, body: span{0, info.Size()}})
	if err == nil {
		v := &validator{model: m, badFiles: map[string]bool{}}
		err = v.checkTensor(t)
	}
	var fe *FormatError
	var system *os.PathError
	switch {
	case err == nil:
		return t, nil
	case errors.As(err, &fe):
		fe.File = path
		return nil, fe
	case errors.As(err, &system):
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return nil, &FormatError{File: path, Msg: "not a tensor: " + err.Error()}
}
