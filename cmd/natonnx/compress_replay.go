package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
	"github.com/natonnx/natonnx/train/dataset"
	"github.com/urfave/cli/v2"
)

// compress does a compression again, from the data that it was made with.
func (r *replayed) compress(t *tool, c *cli.Context, input *onnxgraph.Model) (*onnxgraph.Model, error) {
	recipe, data, err := r.recipe()
	if err != nil {
		return nil, err
	}
	if err := r.checkKernels(); err != nil {
		return nil, err
	}
	images, err := r.openData(c, input, data)
	if err != nil {
		return nil, err
	}
	shown := newProgress(t, choiceOf(c, "progress"))
	o := compress.Options{Workers: int(countOf(c, "workers")), Memory: data.Memory, Progress: shown.compressing}
	m, err := compress.Replay(c.Context, input, images, recipe, o)
	shown.end()
	return m, err
}

// recipe reads what was done, and with which data.
func (r *replayed) recipe() (recipe compress.Recipe, data stampedData, err error) {
	fault := func(key, format string, args ...any) error {
		return &modelError{fmt.Sprintf("%s: metadata_props: %s%s: %s", r.was.Path, stampPrefix, key, fmt.Sprintf(format, args...))}
	}
	moves, err := r.stamp.moves()
	if err != nil {
		return recipe, data, fault("moves", "%v", err)
	}
	r.moves = len(moves)
	for key, to := range map[string]any{"moves": &recipe.Steps, "data": &data} {
		if _, err := readDocument(r.stamp.get(key)); err != nil {
			return recipe, data, fault(key, "%v", err)
		}
		if err := json.Unmarshal([]byte(r.stamp.get(key)), to); err != nil {
			return recipe, data, fault(key, "%v", err)
		}
	}
	if recipe.Seed, err = strconv.ParseUint(r.stamp.get("seed"), 10, 64); err != nil {
		return recipe, data, fault("seed", "is %s, want a whole number", quoted(r.stamp.get("seed")))
	}
	switch how := r.stamp.get("recover"); how {
	case "closed":
	case "distill":
		if recipe.Distill, err = strconv.Atoi(r.stamp.get("epochs")); err != nil || recipe.Distill < 1 {
			return recipe, data, fault("epochs", "is %s, want a whole number above 0", quoted(r.stamp.get("epochs")))
		}
	default:
		return recipe, data, fault("recover", "is %s, want closed or distill", quoted(how))
	}
	if r.stamp.get("interrupted") != "" {
		return recipe, data, &modelError{r.was.Path + ": the distillation was interrupted: where is not noted, so that it cannot be done again"}
	}
	recipe.Split, recipe.Apart = data.Split, data.GuardApart
	return recipe, data, nil
}

// checkKernels refuses to compute with other instructions: the last bits would be
// others.
func (r *replayed) checkKernels() error {
	noted, used := r.stamp.get("kernels"), cpu.Used()
	if noted == used.String() {
		return nil
	}
	for l := cpu.Portable; l <= cpu.Offered(); l++ {
		if l.String() == noted {
			return &usageError{fmt.Sprintf("%s was computed with %s instructions, and this would be with %v", r.from, noted, used), "set " + cpu.Variable + "=" + noted}
		}
	}
	return &checkError{fmt.Sprintf("%s was computed with %s instructions, which are not to be had here: the last bits would differ", r.from, legible.Clip(noted, 100))}
}

// openData opens the data and finds out whether they are those that are noted.
func (r *replayed) openData(c *cli.Context, input *onnxgraph.Model, noted stampedData) (*dataset.Dataset, error) {
	path, how := c.String("data"), noted.Preprocess
	if path == "" {
		return nil, &usageError{fmt.Sprintf("replay: %s was compressed, and there is no --data", r.from),
			fmt.Sprintf("name the data that it was made with: %s, %s", legible.Clip(noted.Kind, 100), legible.Plural(noted.Samples, "sample"))}
	}
	if c.IsSet("preprocess") {
		how = c.String("preprocess")
	} else if _, err := dataset.ParsePreprocess(how); err != nil {
		return nil, &modelError{fmt.Sprintf("%s: metadata_props: natonnx.data: %v", r.was.Path, err)}
	}
	d, err := openDataset(path, how, input)
	if err != nil {
		return nil, err
	}
	if found := d.Preprocess().String(); found != noted.Preprocess {
		return nil, &usageError{fmt.Sprintf("--preprocess %s: means %s, and %s was made with %s", how, found, r.from, legible.Clip(noted.Preprocess, 200)), "leave --preprocess out: it is noted"}
	}
	if noted.Limit > 0 {
		d = d.Sample(noted.Limit, noted.LimitSeed)
	}
	return d, r.checkData(c.Context, path, d, noted)
}

func (r *replayed) checkData(ctx context.Context, path string, d *dataset.Dataset, noted stampedData) error {
	digest, err := d.Digest(ctx)
	if err == nil && digest != noted.Digest {
		err = &usageError{fmt.Sprintf("--data %s: are not the data that %s was made with: the digest of %s is %s, want %s of %d", path, r.from, legible.Plural(d.Len(), "sample"), digest, legible.Clip(noted.Digest, 100), noted.Samples), ""}
	}
	return err
}
