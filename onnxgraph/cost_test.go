package onnxgraph

import "testing"

// Costs worked out by hand.
func TestCostOfOneNode(t *testing.T) {
	for _, c := range []struct {
		name                       string
		build                      func(n net)
		params, madds, elementwise int64
	}{
		{"convolution: 4*4*8 outputs, each 3*3*3", func(n net) {
			n.input("x", "1x3x8x8")
			n.weights("w", 8, 3, 3, 3)
			n.weights("b", 8)
			n.add("y", "Conv", "x w b", IntsAttr("strides", 2, 2), IntsAttr("pads", 1, 1, 1, 1))
		}, 8*27 + 8, 4 * 4 * 8 * 27, 0},
		{"depthwise: 8*8*6 outputs, each 3*3", func(n net) {
			n.input("x", "1x6x8x8")
			n.weights("w", 6, 1, 3, 3)
			n.add("y", "Conv", "x w", IntAttr("group", 6), IntsAttr("pads", 1, 1, 1, 1))
		}, 54, 8 * 8 * 6 * 9, 0},
		{"grouped: 8*8*4 outputs, each 3 of 6 channels", func(n net) {
			n.input("x", "2x6x8x8")
			n.weights("w", 4, 3, 1, 1)
			n.add("y", "Conv", "x w", IntAttr("group", 2))
		}, 12, 2 * 8 * 8 * 4 * 3, 0},
		{"transposed: 5*5*6 inputs, each into 2*2*4", func(n net) {
			n.input("x", "1x6x5x5")
			n.weights("w", 6, 4, 2, 2)
			n.add("y", "ConvTranspose", "x w", IntsAttr("strides", 2, 2))
		}, 96, 5 * 5 * 6 * 16, 0},
		{"Gemm, transposed weights", func(n net) {
			n.input("x", "2x512")
			n.weights("w", 10, 512)
			n.weights("b", 10)
			n.add("y", "Gemm", "x w b", IntAttr("transB", 1))
		}, 5130, 2 * 10 * 512, 0},
		{"MatMul in batches", func(n net) {
			n.input("x", "2x3x4x5")
			n.input("z", "3x5x7")
			n.add("y", "MatMul", "x z")
		}, 0, 2 * 3 * 4 * 7 * 5, 0},
		{"MatMul, then its bias", func(n net) {
			n.input("x", "4x5")
			n.weights("w", 5, 7)
			n.weights("b", 7)
			n.add("a", "MatMul", "x w")
			n.add("y", "Add", "a b")
		}, 42, 4 * 7 * 5, 28},
		{"a scalar is no parameter", func(n net) {
			n.input("x", "4x5")
			n.weights("k", 1)
			n.add("y", "Mul", "x k")
		}, 0, 0, 20},
		{"BatchNorm: running statistics are no parameters", func(n net) {
			n.input("x", "1x6x2x2")
			for _, w := range []string{"s", "b", "m", "v"} {
				n.weights(w, 6)
			}
			n.add("y", "BatchNormalization", "x s b m v")
		}, 12, 0, 24},
		{"a shared weight counts once", func(n net) {
			n.input("x", "4x5")
			n.weights("w", 5, 5)
			n.add("a", "MatMul", "x w")
			n.add("wt", "Transpose", "w")
			n.add("y", "MatMul", "a wt")
		}, 25, 2 * 4 * 5 * 5, 0},
		{"quantised weights", func(n net) {
			n.input("x", "1x3x4x4")
			n.Init(NewTensor("q", Int8, []int64{8, 3, 1, 1}, make([]byte, 24)))
			n.weights("scale")
			n.Init(NewTensor("zero", Int8, nil, []byte{0}))
			n.add("w", "DequantizeLinear", "q scale zero")
			n.add("y", "Conv", "x w")
		}, 24, 16 * 24, 0},
		{"weights made by ConstantOfShape", func(n net) {
			n.input("x", "1x3x4x4")
			n.ints("dims", 8, 3, 1, 1)
			n.add("w", "ConstantOfShape", "dims")
			n.add("y", "Conv", "x w")
		}, 24, 16 * 24, 0},
		{"poolings look at windows", func(n net) {
			n.input("x", "1x6x4x4")
			n.add("a", "MaxPool", "x", IntsAttr("kernel_shape", 2, 2), IntsAttr("strides", 2, 2))
			n.add("y", "GlobalAveragePool", "a")
		}, 0, 0, 24*4 + 24},
		{"Sum of three", func(n net) {
			n.input("x", "1x10")
			n.add("y", "Sum", "x x x")
		}, 0, 0, 20},
	} {
		n := newNet(t, 13)
		c.build(n)
		m := n.model()
		got := m.Cost(m.Infer())
		if got.Params != c.params || got.MAdds != c.madds || got.Elementwise != c.elementwise || len(got.Unknown) != 0 || got.BatchAssumed {
			t.Errorf("%s: got %+v, want %d parameters, %d multiply-adds, %d element-wise", c.name, got, c.params, c.madds, c.elementwise)
		}
	}
}

// A residual block: the input stays alive under the branch until it is added.
func TestPeakActivation(t *testing.T) {
	n := newNet(t, 13)
	n.input("x", "batchx2x4x4") // 128 bytes, with a batch of one
	n.weights("w", 8, 2, 1, 1)
	n.weights("v", 2, 8, 1, 1)
	n.add("a", "Conv", "x w") // 512: x and a are 640
	n.add("b", "Relu", "a")   // 512: x, a and b are 1152
	n.add("c", "Conv", "b v") // 128: x, b and c are 768
	n.add("y", "Add", "c x")  // 128: x, c and y are 384
	n.Builder.Output("y", Float32, nil)
	m := n.model()
	c := m.Cost(m.Infer())
	if c.PeakActivation != 1152 || !c.BatchAssumed {
		t.Errorf("peak %d bytes, batch assumed %v; want 1152, true", c.PeakActivation, c.BatchAssumed)
	}
	for i, want := range []int64{512, 512, 128, 128} {
		if c.Nodes[i].Activation != want {
			t.Errorf("%v: %d bytes of outputs, want %d", c.Nodes[i].Node, c.Nodes[i].Activation, want)
		}
	}
}

// A batch that was folded into another dimension is still a batch of one.
func TestCostOfSymbolicBatch(t *testing.T) {
	n := newNet(t, 13)
	n.input("x", "batchx6x5")
	n.ints("rows", -1, 5)
	n.weights("w", 5, 7)
	n.add("a", "Reshape", "x rows") // 6*batch x 5
	n.add("y", "MatMul", "a w")
	m := n.model()
	types := m.Infer()
	if got := types.Of("y").Shape.String(); got != "6*batchx7" {
		t.Fatalf("y is %s, want 6*batchx7", got)
	}
	if c := m.Cost(types); c.MAdds != 6*7*5 || !c.BatchAssumed {
		t.Errorf("%d multiply-adds, batch assumed %v; want 210, true", c.MAdds, c.BatchAssumed)
	}
}

// What is not known is named, and left out of the sums.
func TestCostNamesUnknown(t *testing.T) {
	n := newNet(t, 13)
	n.input("x", "1x3xheightx8")
	n.weights("w", 4, 3, 1, 1)
	n.weights("mystery", 10)
	n.add("a", "Conv", "x w")
	n.add("b", "Strange", "a mystery")
	n.input("z", "1x4")
	n.add("c", "Relu", "z")
	m := n.model()
	c := m.Cost(m.Infer())
	if len(c.Unknown) != 2 || c.Unknown[0].OpType != "Conv" || c.Unknown[1].OpType != "Strange" {
		t.Errorf("unknown: %v, want the Conv and the Strange", c.Unknown)
	}
	if c.Params != 22 || c.MAdds != 0 || c.Elementwise != 4 {
		t.Errorf("got %d parameters, %d multiply-adds, %d element-wise; want 22, 0, 4", c.Params, c.MAdds, c.Elementwise)
	}
}

// Counts that exceed an int64 are unknown, not wrong.
func TestCostOverflow(t *testing.T) {
	n := newNet(t, 13)
	n.input("x", "1x4294967296x4294967296")
	n.add("y", "Relu", "x")
	n.input("a", "3037000500x3037000500")
	n.add("b", "Relu", "a")
	m := n.model()
	c := m.Cost(m.Infer())
	if len(c.Unknown) != 2 {
		t.Errorf("unknown: %v, want both nodes", c.Unknown)
	}
}
