package onnxgraph

func inferGemm(c *call) []Type {
	a, b := c.shape(0), c.shape(1)
	out := unknownShape(2)
	if len(a) == 2 {
		out[0] = a[c.Int("transA", 0)&1]
	}
	if len(b) == 2 {
		out[1] = b[1-c.Int("transB", 0)&1]
	}
	return []Type{tensorType(c.elem(0), out)}
}

// inferMatMul is for products of inputs a and b with the element type of input like.
func inferMatMul(a, b, like int) func(*call) []Type {
	return func(c *call) []Type { return []Type{tensorType(c.elem(like), matMul(c.shape(a), c.shape(b)))} }
}

func inferMatMulInteger(c *call) []Type {
	return []Type{tensorType(Int32, matMul(c.shape(0), c.shape(1)))}
}

// matMul is numpy.matmul: vectors are matrices of one row or column that is
// dropped from the result, and leading axes broadcast.
func matMul(a, b Shape) Shape {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	var tail Shape
	if len(a) > 1 {
		tail = append(tail, a[len(a)-2])
	}
	if len(b) > 1 {
		tail = append(tail, b[len(b)-1])
	}
	lead := broadcast(a[:max(len(a)-2, 0)], b[:max(len(b)-2, 0)])
	return joinShapes(lead, tail)
}
