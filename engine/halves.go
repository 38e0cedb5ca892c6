package engine

// isHalf reports whether a tensor holds half-precision numbers.
func (t *Tensor) isHalf() bool {
	switch t.data.(type) {
	case []Float16, []BFloat16:
		return true
	}
	return false
}

// widened returns a tensor of half precision in float32; others as they are.
func widened(t *Tensor) *Tensor {
	if t == nil {
		return nil
	}
	switch s := t.data.(type) {
	case []Float16:
		return of(t.Dims, mapped(s, Float16.Float32))
	case []BFloat16:
		return of(t.Dims, mapped(s, BFloat16.Float32))
	}
	return t
}

// inSingle runs a step whose first input is of half precision: in float32, with
// float32 results rounded to that type.
func inSingle(x *exec, in []*Tensor, run func(*exec, []*Tensor) ([]*Tensor, error)) ([]*Tensor, error) {
	wide := make([]*Tensor, len(in))
	for i, t := range in {
		wide[i] = widened(t)
	}
	out, err := run(x, wide)
	if err != nil {
		return nil, err
	}
	for i, t := range out {
		s, ok := t.data.([]float32)
		if !ok {
			continue
		}
		if _, ok := in[0].data.([]Float16); ok {
			out[i] = of(t.Dims, mapped(s, toFloat16))
		} else {
			out[i] = of(t.Dims, mapped(s, toBFloat16))
		}
		x.release(t)
	}
	return out, nil
}
