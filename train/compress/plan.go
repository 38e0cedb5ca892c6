package compress

import (
	"context"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
)

// Plan searches as Run does, with each of the named searches under the same
// number of evaluations, and writes nothing: the results have no Model, and were
// not judged. Without names it is the search of the options. When the context
// ends, the results are those of the searches that had begun.
func Plan(ctx context.Context, m *onnxgraph.Model, images *dataset.Dataset, o Options, searches ...string) ([]*Result, error) {
	c, err := prepare(ctx, m, images, o)
	if err != nil {
		return nil, err
	}
	if len(searches) == 0 {
		searches = []string{c.Search}
	}
	var all []*Result
	for _, name := range searches {
		c.Search = name
		r, _, err := c.plan(ctx)
		if err != nil && (ctx.Err() == nil || len(all) == 0) {
			return nil, err
		}
		if err == nil {
			all = append(all, r)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return all, nil
}
