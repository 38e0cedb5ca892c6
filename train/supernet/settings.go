package supernet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train"
	"github.com/natonnx/natonnx/train/dataset"
)

// Settings are what a run is made of, but for the pixels of the images.
type Settings struct {
	Format     int    `json:"natonnx_supernet"`
	Data       string `json:"data"`
	Preprocess string `json:"preprocess"`
	Limit      int    `json:"limit"` // images; 0: all
	Digest     string `json:"images"`

	Space       string  `json:"space"`
	Nodes       int     `json:"nodes"`
	Channels    int     `json:"channels"`
	Layers      int     `json:"layers"`
	Epochs      int     `json:"epochs"`
	WarmUp      int     `json:"warm_up"`
	Batch       int     `json:"batch"`
	Nulls       float64 `json:"nulls"`
	Share       float64 `json:"share"`
	Held        float64 `json:"held"`
	Rate        float64 `json:"rate"`
	RateEnd     float64 `json:"rate_end"`
	Momentum    float64 `json:"momentum"`
	WeightDecay float64 `json:"weight_decay"`
	PolicyRate  float64 `json:"policy_rate"`
	Entropy     float64 `json:"entropy"`
	Reward      string  `json:"reward"` // Likelihood or Accuracy
	Samples     int     `json:"samples"`
	Published   bool    `json:"published"`
	Seed        uint64  `json:"seed"`
}

const settingsFormat = 1

// What transformations are rewarded for gaining.
const (
	Likelihood = "likelihood" // of the right classes
	Accuracy   = "accuracy"
)

// options are those of the search.
func (s Settings) options(images *dataset.Dataset) (o Options, err error) {
	o = Options{
		Images: images, Share: s.Share, Held: s.Held, Channels: s.Channels, Layers: s.Layers, Batch: s.Batch, Epochs: s.Epochs, WarmUp: s.WarmUp,
		WeightRate: s.Rate, RateEnd: s.RateEnd, Momentum: s.Momentum, WeightDecay: s.WeightDecay, Nulls: s.Nulls, ByAccuracy: s.Reward == Accuracy, Seed: s.Seed,
		Policy: train.Options{Rate: s.PolicyRate, Entropy: s.Entropy, Samples: s.Samples, Published: s.Published},
	}
	if s.Published {
		o.Policy.Network = train.PublishedOptions().Network
	}
	for _, space := range Spaces {
		if space.Name == s.Space {
			o.Space, o.Space.Nodes = space, s.Nodes
			return o, nil
		}
	}
	return o, fmt.Errorf("there is no space %q", s.Space)
}

// ReadSettings reads those of the run in a folder.
func ReadSettings(folder string) (s Settings, err error) {
	path := filepath.Join(folder, SettingsFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil || s.Format != settingsFormat {
		return s, fmt.Errorf("%s: is not what natonnx train supernet writes, or of another version", path)
	}
	return s, nil
}

// claim writes the settings to the folder, or compares them with those that are there.
func (s Settings) claim(folder string) error {
	have, err := ReadSettings(folder)
	if err == nil {
		have.Data = s.Data // the same images may lie elsewhere
		if have != s {
			return fmt.Errorf("%s: there is a run with other settings; give the same, or name another folder", filepath.Join(folder, SettingsFile))
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	return onnxgraph.WriteFile(filepath.Join(folder, SettingsFile), append(text, '\n'))
}
