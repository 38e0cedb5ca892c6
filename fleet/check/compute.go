package check

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/measure"
)

// borrow takes the memory that running the model needs: its weights, their
// packed copies, and activations. It returns what is left for activations, 0
// for no limit, and what gives the memory back.
func (s *subject) borrow() (rest int64, back func(), err error) {
	var held int64
	for _, t := range s.model.Graph.Initializers {
		n, err := t.Bytes()
		if err != nil {
			return 0, nil, err
		}
		held += 2 * n
	}
	need := held + 2*s.cost.PeakActivation
	back, ok := s.memory.take(need)
	if !ok {
		return 0, nil, fmt.Errorf("running it takes about %s bytes, %s are allowed", grouped(need), grouped(s.memory.total))
	}
	if s.memory.total > 0 {
		rest = max(1, s.memory.total-held)
	}
	return rest, back, nil
}

// program compiles a model for as many cores as a file has, in memory that is
// given back by the function that comes with it. The error says why the model
// cannot be run here.
func (s *subject) program() (*engine.Program, func(), error) {
	rest, back, err := s.borrow()
	if err != nil {
		return nil, nil, err
	}
	kept := false
	defer func() {
		if !kept { // also where the compiler panics: others wait for the memory
			back()
		}
	}()
	p, err := engine.Compile(s.ctx, s.model, engine.Options{Workers: s.cores, Memory: rest})
	kept = err == nil
	return p, back, err
}

// latency measures the time of single runs while nothing else is checked.
func (s *subject) latency() (err error) {
	var l *measure.Latency
	s.quietly(func() {
		var rest int64
		var back func()
		// Only now: who waits for memory must not keep others from becoming quiet.
		if rest, back, err = s.borrow(); err == nil {
			defer back()
			l, err = measure.Timed(s.ctx, s.model, measure.LatencyOptions{Limit: 3 * time.Second}, measure.Options{Memory: rest})
		}
	})
	if err != nil {
		if s.ctx.Err() == nil {
			s.skip("%s", s.without(err))
		}
		return s.ctx.Err()
	}
	s.result.Measures.Latency = &Latency{Runs: l.Runs, Batch: l.Batch, Cores: l.Workers, Median: l.Median, P90: l.P90}
	if l.Median > s.set.MaxLatency {
		s.found("", s.set.MaxLatency.String(), l.Median.String(), "the median run took %v (runs: %d, cores: %d), the budget is %v",
			l.Median.Round(time.Microsecond), l.Runs, l.Workers, s.set.MaxLatency)
	}
	return nil
}

// Probe inputs are seeded by probeSeed. Their number is bounded, and so are
// the multiply-adds of all together.
const (
	probeSeed  = 0
	maxProbes  = 8
	probeMAdds = 8e9
	maxProbe   = 1 << 26 // values in one input
)

// drift runs the base and the model on the same probe inputs.
func (s *subject) drift() error {
	if !s.based() {
		return nil
	}
	if why := s.base.lacks(weights); why != "" {
		s.skip("of the base %s, %s", s.base.name, why)
		return nil
	}
	if s.result.Digest != "" && s.result.Digest == s.base.result.Digest && len(DataFiles(s.model)) == 0 {
		return nil // one file
	}
	n := int(max(1, min(maxProbes, probeMAdds/float64(max(s.cost.MAdds, 1)))))
	before, err := s.base.onProbes(n, s.base.model)
	if err == nil {
		var after []map[string]*engine.Tensor
		if after, err = s.onProbes(n, s.base.model); err == nil {
			s.compareDrift(before, after)
		}
	}
	if err != nil && s.ctx.Err() == nil {
		s.skip("%s", s.without(err))
	}
	return s.ctx.Err()
}

// compareDrift compares the outputs that both have; those that one lacks are
// the interface's.
func (s *subject) compareDrift(before, after []map[string]*engine.Tensor) {
	d := &Drift{Against: s.base.name, Inputs: len(before), Seed: probeSeed}
	clean := true
	for i, v := range s.base.model.Graph.Outputs {
		where := fmt.Sprintf("graph.output[%d] %q", i, v.Name)
		var apart distance
		fits, common := true, true
		for k := range before {
			was, is := before[k][v.Name], after[k][v.Name]
			if common = is != nil; !common {
				break
			}
			if !slices.Equal(was.Dims, is.Dims) {
				s.found(where, was.String(), is.String(), "the output is %v, that of the base is %v", is, was)
				fits = false
				break
			}
			apart.add(numbers(is), numbers(was))
		}
		if !common {
			continue
		}
		relative := apart.relative()
		clean = clean && fits && !math.IsInf(relative, 0) && !math.IsInf(apart.max, 0)
		d.MaxAbs, d.Relative = max(d.MaxAbs, apart.max), max(d.Relative, relative)
		if fits && !(relative <= s.set.Tolerance) {
			s.found(where, fmt.Sprintf("%g or less", s.set.Tolerance), fmt.Sprintf("%.3g", relative),
				"the outputs are %.3g apart (relative, on seeded standard normal inputs, probes: %d), the tolerance is %g", relative, len(before), s.set.Tolerance)
		}
	}
	if clean {
		s.result.Measures.Drift = d
	}
}

// onProbes runs the model n times, on inputs such as another one declares.
func (s *subject) onProbes(n int, like *onnxgraph.Model) (out []map[string]*engine.Tensor, err error) {
	p, back, err := s.program()
	if err != nil {
		return nil, err
	}
	defer back()
	r := rand.New(rand.NewPCG(probeSeed, 0))
	for range n {
		in := map[string]*engine.Tensor{}
		for _, v := range like.Graph.RealInputs() {
			if in[v.Name], err = probe(r, v); err != nil {
				return nil, err
			}
		}
		for _, port := range p.Inputs() {
			if in[port.Name] == nil {
				return nil, fmt.Errorf("input %q is not one of the base", port.Name)
			}
		}
		values, err := p.Run(s.ctx, in)
		if err != nil {
			return nil, err
		}
		out = append(out, values)
	}
	return out, nil
}

// probe makes a value for an input: standard normal numbers, zeros and ones
// for integers and truth values. An open batch is 1.
func probe(r *rand.Rand, v *onnxgraph.Value) (*engine.Tensor, error) {
	if v.Type.Kind != "tensor" || v.Type.Shape == nil {
		return nil, fmt.Errorf("input %q has no shape, so there is nothing to probe it with", v.Name)
	}
	n, dims := 1, make([]int, len(v.Type.Shape))
	for i, d := range v.Type.Shape {
		switch {
		case d.Known() && d.N >= 0 && d.N <= maxProbe:
			dims[i] = int(d.N)
		case !d.Known() && i == 0:
			dims[i] = 1
		default:
			return nil, fmt.Errorf("input %q is %v: its size is open or too large to be probed", v.Name, v.Type.Shape)
		}
		if n *= dims[i]; n > maxProbe {
			return nil, fmt.Errorf("input %q is %v, too large to be probed", v.Name, v.Type.Shape)
		}
	}
	bit := func() int { return int(r.Uint64() & 1) }
	switch v.Type.Elem {
	case onnxgraph.Float32:
		return filled(dims, n, func() float32 { return float32(r.NormFloat64()) })
	case onnxgraph.Float64:
		return filled(dims, n, r.NormFloat64)
	case onnxgraph.BFloat16:
		return filled(dims, n, func() engine.BFloat16 { return engine.BFloat16(math.Float32bits(float32(r.NormFloat64())) >> 16) })
	case onnxgraph.Float16: // of two bits' precision: +-1, 1.25, 1.5, 1.75
		return filled(dims, n, func() engine.Float16 { return engine.Float16(0x3c00 | r.Uint64()&3<<8 | r.Uint64()&1<<15) })
	case onnxgraph.Bool:
		return filled(dims, n, func() bool { return bit() == 1 })
	case onnxgraph.Int8:
		return filled(dims, n, func() int8 { return int8(bit()) })
	case onnxgraph.Int16:
		return filled(dims, n, func() int16 { return int16(bit()) })
	case onnxgraph.Int32:
		return filled(dims, n, func() int32 { return int32(bit()) })
	case onnxgraph.Int64:
		return filled(dims, n, func() int64 { return int64(bit()) })
	case onnxgraph.Uint8:
		return filled(dims, n, func() uint8 { return uint8(bit()) })
	}
	return nil, fmt.Errorf("input %q is %v, which there are no probes of", v.Name, v.Type.Elem)
}

func filled[T engine.Element](dims []int, n int, next func() T) (*engine.Tensor, error) {
	data := make([]T, n)
	for i := range data {
		data[i] = next()
	}
	return engine.New(dims, data)
}

// A distance sums up how far numbers are apart.
type distance struct{ difference, norm, max float64 }

// add takes up as many numbers of both. Two NaNs are the same; one is infinitely far.
func (d *distance) add(a, b []float64) {
	for i := range min(len(a), len(b)) {
		x := math.Abs(a[i] - b[i])
		switch {
		case a[i] == b[i] || math.IsNaN(a[i]) && math.IsNaN(b[i]):
			x = 0
		case math.IsNaN(x):
			x = math.Inf(1)
		}
		d.difference += x * x
		if !math.IsNaN(b[i]) && !math.IsInf(b[i], 0) {
			d.norm += b[i] * b[i]
		}
		d.max = max(d.max, x)
	}
}

// relative is |a - b| / |b| in the Euclidean norm.
func (d *distance) relative() float64 {
	if d.difference == 0 {
		return 0
	}
	return math.Sqrt(d.difference) / math.Sqrt(d.norm)
}

// numbers returns the elements of a tensor as numbers: truth values as 0 and 1,
// texts as a hash of each.
func numbers(t *engine.Tensor) []float64 {
	switch t.Type() {
	case onnxgraph.Float32:
		return plain[float32](t)
	case onnxgraph.Float64:
		return plain[float64](t)
	case onnxgraph.Int8:
		return plain[int8](t)
	case onnxgraph.Int16:
		return plain[int16](t)
	case onnxgraph.Int32:
		return plain[int32](t)
	case onnxgraph.Int64:
		return plain[int64](t)
	case onnxgraph.Uint8:
		return plain[uint8](t)
	case onnxgraph.Uint16:
		return plain[uint16](t)
	case onnxgraph.Uint32:
		return plain[uint32](t)
	case onnxgraph.Uint64:
		return plain[uint64](t)
	case onnxgraph.Float16:
		return converted(t, func(x engine.Float16) float64 { return float64(x.Float32()) })
	case onnxgraph.BFloat16:
		return converted(t, func(x engine.BFloat16) float64 { return float64(x.Float32()) })
	case onnxgraph.Bool:
		return converted(t, func(x bool) float64 {
			if x {
				return 1
			}
			return 0
		})
	case onnxgraph.String:
		return converted(t, func(x string) float64 {
			h := uint64(14695981039346656037) // FNV-1a
			for i := range len(x) {
				h = (h ^ uint64(x[i])) * 1099511628211
			}
			return float64(h >> 11)
		})
	}
	return nil
}

func plain[T interface {
	engine.Element
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}](t *engine.Tensor) []float64 {
	return converted(t, func(x T) float64 { return float64(x) })
}

func converted[T engine.Element](t *engine.Tensor, number func(T) float64) []float64 {
	data, _ := engine.Data[T](t)
	out := make([]float64, len(data))
	for i, x := range data {
		out[i] = number(x)
	}
	return out
}

// testData runs the model on ONNX's test data beside it, where there are any.
func (s *subject) testData() error {
	if s.model.Path == "" || s.stream {
		return nil
	}
	dir := filepath.Dir(s.model.Path)
	sets := testSets(dir)
	if len(sets) == 0 {
		return nil
	}
	if others := modelsIn(dir); len(others) > 1 && filepath.Base(s.model.Path) != "model.onnx" {
		s.skip("the folder has %d models, and the test data are those of model.onnx", len(others))
		return nil
	}
	if why := s.unrepeatable(); why != "" {
		s.skip("%s", why)
		return nil
	}
	p, back, err := s.program()
	if err != nil {
		s.skip("%s", s.without(err))
		return nil
	}
	defer back()
	for _, set := range sets {
		if err := s.testSet(p, filepath.Join(dir, set)); err != nil {
			if s.ctx.Err() != nil {
				return s.ctx.Err()
			}
			s.skip("%s: %s", set, s.without(err))
		}
	}
	return nil
}

func testSets(dir string) (sets []string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if strings.HasPrefix(e.Name(), "test_data_set_") {
			sets = append(sets, e.Name())
		}
	}
	return sets
}

func modelsIn(dir string) (models []string) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if isModel(e.Name()) {
			models = append(models, e.Name())
		}
	}
	return models
}

// unrepeatable says why outputs need not be what they were: chance, or
// broadcasting as before opset 7, which the engine does not do.
func (s *subject) unrepeatable() string {
	for _, n := range s.model.Graph.Nodes {
		switch {
		case n.Is("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"), n.Is("Dropout") && s.trains(n):
			return n.String() + " is random"
		case n.Is("PRelu") && s.model.OpsetVersion() < 7:
			return n.String() + " broadcasts as before opset 7, which the engine does not"
		}
	}
	return ""
}

// testSet runs the model on one test_data_set folder. An error says why that
// could not be done.
func (s *subject) testSet(p *engine.Program, set string) error {
	in := map[string]*engine.Tensor{}
	for i, port := range p.Inputs() {
		name := fmt.Sprintf("input_%d.pb", i)
		t, err := readTest(filepath.Join(set, name), port.Type)
		if err != nil {
			return fmt.Errorf("%s: %s", name, s.without(err))
		}
		where := filepath.Base(set) + "/" + name
		if t.Type() != port.Type || !fits(t.Dims, port.Shape) {
			s.found(where, fmt.Sprintf("%v %v", port.Type, port.Shape), t.String(), "is %v, input %q of the model is %v %v", t, port.Name, port.Type, port.Shape)
			return nil
		}
		in[port.Name] = t
	}
	got, err := p.Run(s.ctx, in)
	if err != nil {
		return err
	}
	for i, port := range p.Outputs() {
		name := fmt.Sprintf("output_%d.pb", i)
		out := got[port.Name]
		want, err := readTest(filepath.Join(set, name), out.Type())
		if errors.Is(err, os.ErrNotExist) && i > 0 {
			continue // the data need not hold all outputs
		}
		if err != nil {
			return fmt.Errorf("%s: %s", name, s.without(err))
		}
		s.agrees(filepath.Base(set)+"/"+name, port.Name, out, want)
	}
	return nil
}

// readTest reads a tensor. Older data hold bfloat16 as uint16.
func readTest(path string, typ onnxgraph.DataType) (*engine.Tensor, error) {
	x, err := onnxgraph.ReadTensor(path)
	if err != nil {
		return nil, err
	}
	t, err := engine.Read(x)
	if err != nil || t.Type() != onnxgraph.Uint16 || typ != onnxgraph.BFloat16 {
		return t, err
	}
	bits, _ := engine.Data[uint16](t)
	data := make([]engine.BFloat16, len(bits))
	for i, b := range bits {
		data[i] = engine.BFloat16(b)
	}
	return engine.New(t.Dims, data)
}

func fits(dims []int, shape onnxgraph.Shape) bool {
	if shape == nil {
		return true
	}
	if len(dims) != len(shape) {
		return false
	}
	for i, d := range shape {
		if d.Known() && d.N != int64(dims[i]) {
			return false
		}
	}
	return true
}

// bfloat16Tolerance is the relative one that the ONNX project's runner grants.
const bfloat16Tolerance = 0x1p-6

// agrees compares element by element, integers and texts exactly.
func (s *subject) agrees(where, output string, got, want *engine.Tensor) {
	if got.Type() != want.Type() || !slices.Equal(got.Dims, want.Dims) {
		s.found(where, want.String(), got.String(), "output %q is %v, want %v", output, got, want)
		return
	}
	relative, absolute := 0.0, 0.0
	switch got.Type() {
	case onnxgraph.Float32, onnxgraph.Float64, onnxgraph.Float16:
		relative, absolute = s.set.Tolerance, s.set.AbsoluteTolerance
	case onnxgraph.BFloat16:
		relative, absolute = max(bfloat16Tolerance, s.set.Tolerance), s.set.AbsoluteTolerance
	}
	g, w := numbers(got), numbers(want)
	wrong, first := 0, 0
	for i := range g {
		same := g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i])
		if !same && !(math.Abs(g[i]-w[i]) <= absolute+relative*math.Abs(w[i])) {
			if wrong == 0 {
				first = i
			}
			wrong++
		}
	}
	if wrong > 0 {
		s.found(where, fmt.Sprint(w[first]), fmt.Sprint(g[first]), "output %q: %d of %d elements are outside of the tolerance; element %d is %v, want %v",
			output, wrong, len(g), first, g[first], w[first])
	}
}
