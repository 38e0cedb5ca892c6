package train

import (
	"context"
	"fmt"
	"time"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/transformer"
)

// STUB, to be replaced by the lead's Learn.

type Kind string

const (
	KindGCN       Kind = "gcn"
	KindPublished Kind = "gcn-published"
	KindLSTM      Kind = "lstm"
)

type CurvePoint struct {
	Step                                int
	Reward, Entropy, Accuracy, Captured float64
}

type LearnOptions struct {
	Table    *Table
	Kind     Kind
	Rules    transformer.Rules
	Seed     uint64
	Steps    int
	MaxCost  float64
	Progress func(CurvePoint)
}

type Learnt struct {
	Policy   transformer.Policy
	Curve    []CurvePoint
	StepTime time.Duration
}

func Learn(ctx context.Context, o LearnOptions) (*Learnt, error) {
	if o.Kind == KindLSTM || o.Rules.Name != transformer.NAT.Name {
		return nil, fmt.Errorf("stub: no %s by %s", o.Kind, o.Rules.Name)
	}
	split := o.Table.Split()
	var inputs []cellmap.Form
	for w := range Writings {
		for _, cell := range split.Train {
			inputs = append(inputs, Writings[w].Form(cell))
		}
	}
	out := &Learnt{}
	began, best := time.Now(), 0.0
	options := Options{Seed: o.Seed, Steps: o.Steps, Published: o.Kind == KindPublished, Every: 500}
	options.Report = func(p Progress) error {
		g, err := transformer.NewGCN(transformer.Card{Name: string(o.Kind), Rules: o.Rules.Name, Seed: o.Seed}, p.Params)
		if err != nil {
			return err
		}
		if g, err = g.Rounded(g.Card()); err != nil {
			return err
		}
		scores, err := Evaluate(ctx, g, o.Table, &Writings[0], split.Choose, o.Seed)
		if err != nil {
			return err
		}
		m := scores[CIFAR10].Max
		c := CurvePoint{p.Step, p.Reward, p.Entropy, m.Accuracy, m.Captured}
		if out.Policy == nil || m.Accuracy > best {
			best, out.Policy = m.Accuracy, g
		}
		out.Curve = append(out.Curve, c)
		if o.Progress != nil {
			o.Progress(c)
		}
		return nil
	}
	if _, err := Reinforce(ctx, inputs, TableReward{o.Table, CIFAR10}, options); err != nil {
		return nil, err
	}
	out.StepTime = time.Since(began) / time.Duration(max(o.Steps, 1))
	return out, nil
}
