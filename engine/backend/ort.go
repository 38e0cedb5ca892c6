//go:build ort && cgo

package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/yalue/onnxruntime_go"
)

// ORTVariable is the environment variable that names ONNX Runtime's shared library.
const ORTVariable = "NATONNX_ONNXRUNTIME"

// oldestORT is the first ONNX Runtime with the version of the C interface that
// this program was built against (ORT_API_VERSION 24).
const oldestORT = "1.24"

// ortRuntime is ONNX Runtime, in a shared library that is loaded when it is
// first asked for.
type ortRuntime struct{}

func (ortRuntime) Name() string  { return "ort" }
func (ortRuntime) Usable() error { return loadORT() }

func (ortRuntime) About() string {
	if loadORT() != nil {
		return "ONNX Runtime"
	}
	return "ONNX Runtime " + onnxruntime_go.GetVersion()
}

// loadORT loads the library once.
var loadORT = sync.OnceValue(func() error {
	path, err := ortLibrary()
	if err != nil {
		return err
	}
	onnxruntime_go.SetSharedLibraryPath(path)
	err = onnxruntime_go.InitializeEnvironment(onnxruntime_go.WithLogLevelFatal())
	if err != nil && strings.Contains(err.Error(), "ORT API base") {
		return fmt.Errorf("%s: is too old, want ONNX Runtime %s or newer", path, oldestORT)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
})

// ortLibrary finds the shared library: the one that [ORTVariable] names, or
// that of the Python package onnxruntime of an active virtual environment, of
// the python3 on the path, or of the user.
func ortLibrary() (string, error) {
	if path := os.Getenv(ORTVariable); path != "" {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return "", fmt.Errorf("%s=%s: is no file", ORTVariable, path)
		}
		return path, nil
	}
	for _, place := range pythonPlaces() {
		found, err := filepath.Glob(filepath.Join(place, "onnxruntime", "capi", ortFile()))
		if err == nil && len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("its shared library was not found; set %s to the path of %s, or install the Python package onnxruntime", ORTVariable, strings.TrimSuffix(ortFile(), "*"))
}

// ortFile is the pattern of the library's name.
func ortFile() string {
	switch runtime.GOOS {
	case "windows":
		return "onnxruntime.dll"
	case "darwin":
		return "libonnxruntime*.dylib"
	}
	return "libonnxruntime.so*"
}

// pythonPlaces lists patterns of folders in which Python packages are installed.
func pythonPlaces() (list []string) {
	var prefixes []string
	if env := os.Getenv("VIRTUAL_ENV"); env != "" {
		prefixes = append(prefixes, env)
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if found, _ := filepath.Glob(filepath.Join(dir, "python*")); found != nil {
			prefixes = append(prefixes, filepath.Dir(dir))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		prefixes = append(prefixes, filepath.Join(home, ".local"))
	}
	for _, prefix := range prefixes {
		list = append(list,
			filepath.Join(prefix, "lib", "python3*", "site-packages"),
			filepath.Join(prefix, "lib", "python3*", "dist-packages"),
			filepath.Join(prefix, "Lib", "site-packages"))
	}
	return list
}

func (r ortRuntime) Open(ctx context.Context, m *onnxgraph.Model, o Options) (Session, error) {
	if err := unlimited(m, r.Name(), o); err != nil {
		return nil, err
	}
	if err := loadORT(); err != nil {
		return nil, err
	}
	s := &ortSession{path: m.Path, finite: o.Finite}
	s.in, s.out = ports(m)
	options, err := ortOptions(o)
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	if s.session, err = openORT(m, names(s.in), names(s.out), options); err != nil {
		return nil, fmt.Errorf("%s: ONNX Runtime: %w", m.Path, err)
	}
	return s, nil
}

func ortOptions(o Options) (*onnxruntime_go.SessionOptions, error) {
	options, err := onnxruntime_go.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	if err = options.SetIntraOpNumThreads(o.Workers); err == nil {
		err = options.SetInterOpNumThreads(1)
	}
	if err != nil {
		options.Destroy()
		return nil, err
	}
	return options, nil
}

// openORT hands a model over: as bytes, or in a file where its weights are in
// other files.
func openORT(m *onnxgraph.Model, in, out []string, options *onnxruntime_go.SessionOptions) (*onnxruntime_go.DynamicAdvancedSession, error) {
	if !external(m) {
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			return nil, err
		}
		return onnxruntime_go.NewDynamicAdvancedSessionWithONNXData(b.Bytes(), in, out, options)
	}
	if !m.Edited() {
		return onnxruntime_go.NewDynamicAdvancedSession(m.Path, in, out, options)
	}
	dir, err := os.MkdirTemp("", "natonnx-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.onnx")
	if err := m.Save(context.Background(), path); err != nil {
		return nil, err
	}
	return onnxruntime_go.NewDynamicAdvancedSession(path, in, out, options)
}

func names(ports []engine.Port) (list []string) {
	for _, p := range ports {
		list = append(list, p.Name)
	}
	return list
}

type ortSession struct {
	path    string
	in, out []engine.Port
	finite  bool
	session *onnxruntime_go.DynamicAdvancedSession
}

func (s *ortSession) Inputs() []engine.Port  { return s.in }
func (s *ortSession) Outputs() []engine.Port { return s.out }
func (s *ortSession) Close() error           { return s.session.Destroy() }

func (s *ortSession) Run(ctx context.Context, in map[string]*engine.Tensor) (_ map[string]*engine.Tensor, err error) {
	defer recovered(s.path, "ONNX Runtime", &err) // its binding panics on scalars
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	list, err := inOrder(s.path, s.in, in)
	if err != nil {
		return nil, err
	}
	inputs, outputs := make([]onnxruntime_go.Value, len(list)), make([]onnxruntime_go.Value, len(s.out))
	defer destroy(inputs)
	defer destroy(outputs)
	for i, t := range list {
		if inputs[i], err = toORT(t); err != nil {
			return nil, fmt.Errorf("%s: input %q: %w", s.path, s.in[i].Name, err)
		}
	}
	if err := s.run(ctx, inputs, outputs); err != nil {
		return nil, err
	}
	out := make(map[string]*engine.Tensor, len(outputs))
	for i, v := range outputs {
		if out[s.out[i].Name], err = fromORT(v); err != nil {
			return nil, fmt.Errorf("%s: output %q: %w", s.path, s.out[i].Name, err)
		}
	}
	if s.finite {
		return out, finite(s.path, s.out, out)
	}
	return out, nil
}

// run fills in the outputs. An ending context terminates ONNX Runtime's run.
func (s *ortSession) run(ctx context.Context, inputs, outputs []onnxruntime_go.Value) error {
	options, err := onnxruntime_go.NewRunOptions()
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		options.Terminate()
	})
	err = s.session.RunWithOptions(inputs, outputs, options)
	if !stop() {
		<-ended // the options are in use until then
	}
	return errors.Join(s.explain(ctx, err), options.Destroy())
}

func (s *ortSession) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%s: ONNX Runtime: %w", s.path, err)
}

func destroy(values []onnxruntime_go.Value) {
	for _, v := range values {
		if v != nil {
			v.Destroy()
		}
	}
}

// toORT lends the elements of a tensor to ONNX Runtime.
func toORT(t *engine.Tensor) (onnxruntime_go.Value, error) {
	switch t.Type() {
	case onnxgraph.Float32:
		return lend[float32](t)
	case onnxgraph.Float64:
		return lend[float64](t)
	case onnxgraph.Int32:
		return lend[int32](t)
	case onnxgraph.Int64:
		return lend[int64](t)
	case onnxgraph.Int8:
		return lend[int8](t)
	case onnxgraph.Uint8:
		return lend[uint8](t)
	case onnxgraph.Bool:
		return lend[bool](t)
	}
	return nil, fmt.Errorf("tensors of %v are not supported", t.Type())
}

type shared interface {
	float32 | float64 | int8 | int32 | int64 | uint8 | bool
}

func lend[T shared](t *engine.Tensor) (onnxruntime_go.Value, error) {
	data, ok := engine.Data[T](t)
	if !ok {
		return nil, fmt.Errorf("%v is not in row-major order", t)
	}
	shape := make(onnxruntime_go.Shape, len(t.Dims))
	for i, d := range t.Dims {
		shape[i] = int64(d)
	}
	return onnxruntime_go.NewTensor(shape, data)
}

// fromORT copies an output.
func fromORT(v onnxruntime_go.Value) (*engine.Tensor, error) {
	switch v := v.(type) {
	case *onnxruntime_go.Tensor[float32]:
		return take(v)
	case *onnxruntime_go.Tensor[float64]:
		return take(v)
	case *onnxruntime_go.Tensor[int8]:
		return take(v)
	case *onnxruntime_go.Tensor[int32]:
		return take(v)
	case *onnxruntime_go.Tensor[int64]:
		return take(v)
	case *onnxruntime_go.Tensor[uint8]:
		return take(v)
	case *onnxruntime_go.Tensor[bool]:
		return take(v)
	}
	return nil, fmt.Errorf("values of ONNX Runtime's type %v are not supported", v.GetONNXType())
}

// take returns the elements, which are in Go's memory, where they outlive v.
func take[T shared](v *onnxruntime_go.Tensor[T]) (*engine.Tensor, error) {
	var dims []int
	for _, d := range v.GetShape() {
		dims = append(dims, int(d))
	}
	return engine.New(dims, v.GetData())
}
