package distill

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/natonnx/natonnx/engine"
	"github.com/natonnx/natonnx/engine/learn"
	"github.com/natonnx/natonnx/engine/vec"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/trainable"
)

// A network is one that the images fit.
type network struct{ *trainable.Network }

func open(m *onnxgraph.Model, image []int) (*network, error) {
	n, err := trainable.Open(m, image)
	return &network{n}, err
}

// kept returns the values of goals that are no outputs anyway.
func (n *network) kept(goals []*goal, name func(*goal) string) []string {
	var out []string
	for _, g := range goals {
		if v := name(g); !slices.ContainsFunc(n.Model.Graph.Outputs, func(o *onnxgraph.Value) bool { return o.Name == v }) {
			out = append(out, v)
		}
	}
	return out
}

// pooled returns the value that the last pooling over whole images reads, ""
// where nothing pools.
func (n *network) pooled() string {
	for _, p := range slices.Backward(n.Model.Graph.Nodes) {
		if !p.Is("GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool", "ReduceMean", "ReduceMax") {
			continue
		}
		in, out := n.Types.Of(p.Input(0)), n.Types.Of(p.Outputs[0])
		if in.Elem != onnxgraph.Float32 || len(in.Shape) < 3 || len(out.Shape) < 2 || !out.Shape[1].Equal(in.Shape[1]) {
			continue
		}
		if trainable.Size(in.Shape[2:]) > 1 && trainable.Size(out.Shape[2:]) == 1 {
			return p.Input(0)
		}
	}
	return ""
}

// A goal is a value of the student that should become one of the teacher's.
type goal struct {
	teacher, student string
	feature          bool
	share            float64 // in the sum of all features
	weight           float64 // in the sum of all goals
	temperature      float64 // 0: compare numbers, not distributions
	scale            float64 // the mean square of the teacher's numbers; 0: not known yet
}

// goals pairs the values of both networks.
func goals(teacher, student *network, o Options) ([]*goal, error) {
	want, logits, err := teacher.Output()
	if err != nil {
		return nil, err
	}
	have, also, err := student.Output()
	if err != nil {
		return nil, err
	}
	a, b := teacher.Types.Of(want).Shape, student.Types.Of(have).Shape
	if logits != also || !a.Equal(b) {
		return nil, fmt.Errorf("%s: output %q is %v, %s has %v: want one shape", student.Model.Path, have, b, teacher.Model.Path, a)
	}
	thought := &goal{teacher: want, student: have, weight: 1}
	if logits {
		thought.temperature = o.Temperature
	}
	if o.Feature < 0 {
		return []*goal{thought}, nil
	}
	return append([]*goal{thought}, features(teacher, student, o.Feature)...), nil
}

// features pairs what the last poolings read, and what blocks leave.
func features(teacher, student *network, weight float64) []*goal {
	var list []*goal
	want, have := teacher.pooled(), student.pooled()
	if want != "" && have != "" && teacher.Types.Of(want).Shape.Equal(student.Types.Of(have).Shape) {
		list = append(list, &goal{teacher: want, student: have, feature: true, share: 1, weight: weight})
	}
	names := junctions(teacher, student)
	names = slices.DeleteFunc(names, func(v string) bool { return v == have })
	for _, v := range names {
		share := 1 / float64(len(names))
		list = append(list, &goal{teacher: v, student: v, feature: true, share: share, weight: share * weight})
	}
	return list
}

// junctions are the values that both networks have, of equal shape, and that
// several operators read: for each shape the last of them. What reads such a
// value in the student reads it in the teacher: it does not stand for another.
func junctions(teacher, student *network) []string {
	var names []string
	last := map[string]int{} // by shape, the place in names
	for _, n := range student.Model.Graph.Nodes {
		v := n.Outputs[0]
		t, want, readers := student.Types.Of(v), teacher.Types.Of(v), student.readers(v)
		if len(readers) < 2 || t.Elem != onnxgraph.Float32 || want.Elem != t.Elem || len(t.Shape) < 3 || !t.Shape.Equal(want.Shape) {
			continue
		}
		known := teacher.readers(v)
		if slices.ContainsFunc(readers, func(r string) bool { return !slices.Contains(known, r) }) {
			continue
		}
		shape := t.Shape.String()
		if at, ok := last[shape]; ok {
			names[at] = v
			continue
		}
		last[shape] = len(names)
		names = append(names, v)
	}
	return names
}

// readers names the nodes that read a value, by their first outputs.
func (n *network) readers(value string) []string {
	var names []string
	for _, u := range n.Model.Graph.Index().Consumers[value] {
		names = append(names, u.Node.Outputs[0])
	}
	return names
}

// compare returns the loss, and its gradient by the student's value times share
// and the goal's weight.
func (g *goal) compare(have, want *engine.Tensor, share float64) (float64, *engine.Tensor, error) {
	var loss float64
	var gradient *engine.Tensor
	var err error
	by := 1.0
	if g.temperature > 0 {
		loss, gradient, err = learn.Distill(have, want, g.temperature)
	} else {
		g.scale = cmp.Or(g.scale, meanSquare(want.Float32s()))
		loss, gradient, err = learn.MeanSquared(have, want)
		by = 1 / g.scale
	}
	if err != nil {
		return 0, nil, err
	}
	d := gradient.Float32s()
	vec.Scale(d, d, float32(by*share*g.weight))
	return by * loss, gradient, nil
}

// meanSquare is 1 where all numbers are zero.
func meanSquare(x []float32) float64 {
	return cmp.Or(vec.Dot(x, x)/float64(len(x)), 1)
}
