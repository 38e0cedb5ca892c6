package oracle

import (
	"bufio"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

//go:embed oracle.py
var script string

// process is the Python process. It ends by itself when this one does, because
// its input does.
type process struct {
	mu     sync.Mutex
	in     *bufio.Writer
	out    *bufio.Reader
	broken error // what made it useless
}

type request struct {
	Do      string         `json:"do"`
	Path    string         `json:"path"`
	Tensors []tensorHeader `json:"tensors,omitempty"`
	inputs  map[string]Tensor
}

type reply struct {
	Missing string           `json:"missing"` // a package that Python lacks
	Error   string           `json:"error"`   // the judge's objection
	Shapes  map[string][]any `json:"shapes"`
	Tensors []tensorHeader   `json:"tensors"`
	outputs map[string]Tensor
}

type tensorHeader struct {
	Name  string  `json:"name"`
	DType string  `json:"dtype"`
	Shape []int64 `json:"shape"`
	Bytes int     `json:"bytes"`
}

var start = sync.OnceValues(func() (*process, error) {
	python := os.Getenv("NATONNX_PYTHON")
	if python == "" {
		python = "python3"
	}
	cmd := exec.Command(python, "-c", script)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{in: bufio.NewWriter(in), out: bufio.NewReader(out)}
	hello, err := p.receive()
	if err != nil {
		return nil, fmt.Errorf("%s did not start: %w", python, err)
	}
	if hello.Missing != "" {
		return nil, fmt.Errorf("%s: %s", python, hello.Missing)
	}
	return p, nil
})

// ask sends a question and waits for its answer. An error is a failure of the
// process, from which it does not recover.
func (p *process) ask(q request) (*reply, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return nil, p.broken
	}
	r, err := p.exchange(q)
	if err != nil {
		p.broken = fmt.Errorf("the Python process failed at %s of %s: %w", q.Do, q.Path, err)
	}
	return r, p.broken
}

func (p *process) exchange(q request) (*reply, error) {
	var blobs [][]byte
	for name, t := range q.inputs {
		h, blob := encode(name, t)
		q.Tensors = append(q.Tensors, h)
		blobs = append(blobs, blob)
	}
	head, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	p.in.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(head))))
	p.in.Write(head)
	for _, b := range blobs {
		p.in.Write(b)
	}
	if err := p.in.Flush(); err != nil { // bufio keeps the first error
		return nil, err
	}
	return p.receive()
}

func (p *process) receive() (*reply, error) {
	var size [4]byte
	if _, err := io.ReadFull(p.out, size[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it ended")
		}
		return nil, err
	}
	head := make([]byte, binary.LittleEndian.Uint32(size[:]))
	if _, err := io.ReadFull(p.out, head); err != nil {
		return nil, err
	}
	r := &reply{outputs: map[string]Tensor{}}
	if err := json.Unmarshal(head, r); err != nil {
		return nil, err
	}
	for _, h := range r.Tensors {
		blob := make([]byte, h.Bytes)
		if _, err := io.ReadFull(p.out, blob); err != nil {
			return nil, err
		}
		t, err := decode(h, blob)
		if err != nil {
			return nil, err
		}
		r.outputs[h.Name] = t
	}
	return r, nil
}

func encode(name string, t Tensor) (tensorHeader, []byte) {
	h := tensorHeader{Name: name, DType: "float32", Shape: t.Shape}
	var blob []byte
	if t.Ints != nil {
		h.DType = "int64"
		blob, _ = binary.Append(nil, binary.LittleEndian, t.Ints)
	} else {
		blob, _ = binary.Append(nil, binary.LittleEndian, t.Floats)
	}
	if h.Shape == nil {
		h.Shape = []int64{} // a scalar, not null
	}
	h.Bytes = len(blob)
	return h, blob
}

func decode(h tensorHeader, blob []byte) (Tensor, error) {
	t := Tensor{Shape: h.Shape}
	var err error
	switch h.DType {
	case "float32":
		t.Floats = make([]float32, h.Bytes/4)
		_, err = binary.Decode(blob, binary.LittleEndian, t.Floats)
	case "int64":
		t.Ints = make([]int64, h.Bytes/8)
		_, err = binary.Decode(blob, binary.LittleEndian, t.Ints)
	default:
		err = fmt.Errorf("element type %q, want float32 or int64", h.DType)
	}
	return t, err
}
