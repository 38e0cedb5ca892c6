package onnxgraph_test

import (
	"math"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

// Published parameters are exact, for files with BatchNorms; folding one away
// keeps its shift as a bias and drops its scale. Published multiply-adds are
// rounded: torchvision's page gives hundredths of a giga.
func TestPublishedCosts(t *testing.T) {
	for _, c := range []struct {
		file   string
		params int64
		madds  float64 // in millions
		within float64
	}{
		{"topology/light_resnet50.onnx", 25_557_032, 4090, 5},
		{"topology/light_vgg19.onnx", 143_667_240, 19_630, 5},
		{"topology/zigzag_resnet18.onnx", 11_689_512 - 4_800, 1810, 5},
		{"topology/m25_resnet18.onnx", 11_689_512 - 4_800, 1810, 5},
		{"topology/m25_mobilenetv2.onnx", 3_504_872 - 17_056, 300, 1},
		{"imagenet/derived_mobilenetv2_fp32.onnx", 3_504_872 - 17_056, 300, 1},
		{"quantized/diablo_mobilenetv2_quant_static.onnx", 3_504_872 - 17_056, 300, 1},
		{"cifar10/amandashi95_resnet20.onnx", 272_474, 41, 0.5},
		{"cifar10/ace_resnet20_cifar10_pre.onnx", 272_474 - 784, 41, 0.5},
		{"cifar10/ace_resnet56_cifar10_pre.onnx", 855_770 - 2_128, 126, 0.5},
	} {
		t.Run(c.file, func(t *testing.T) {
			m, err := onnxgraph.Open(corpus.Need(t, "models", c.file))
			if err != nil {
				t.Fatal(err)
			}
			checkCost(t, m, c.params, c.madds, c.within)
		})
	}
}

// The same of torchvision's networks as generated, in two dialects.
func TestPublishedCostsOfFixtures(t *testing.T) {
	for name, c := range map[string]struct {
		params int64
		gmadds float64
	}{
		"resnet18": {11_689_512, 1.81}, "resnet34": {21_797_672, 3.66}, "resnet50": {25_557_032, 4.09},
		"resnext50_32x4d": {25_028_904, 4.23}, "mobilenet_v2": {3_504_872, 0.30}, "mobilenet_v3_small": {2_542_856, 0.06},
		"efficientnet_b0": {5_288_548, 0.39}, "googlenet": {6_624_904, 1.50}, "densenet121": {7_978_856, 2.83},
		"shufflenet_v2_x1_0": {2_278_604, 0.14}, "squeezenet1_1": {1_235_496, 0.35}, "alexnet": {61_100_840, 0.71},
	} {
		for _, d := range []fixtures.Dialect{
			{},
			{Names: fixtures.Legacy, Opset: 10, DynamicBatch: true, ReshapeTail: true, Sum: true, Dropout: true, Identity: true, ListInitializers: true},
		} {
			if testing.Short() && (d.Opset != 0 || c.params > 2e7) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				m, err := fixtures.Build(name, fixtures.Options{Dialect: d})
				if err != nil {
					t.Fatal(err)
				}
				if got := m.Cost(m.Infer()).BatchAssumed; got != d.DynamicBatch {
					t.Errorf("batch assumed: %v", got)
				}
				checkCost(t, m, c.params, 1000*c.gmadds, 5.1)
			})
		}
	}
}

func checkCost(t *testing.T, m *onnxgraph.Model, params int64, madds, within float64) {
	t.Helper()
	c := m.Cost(m.Infer())
	if c.Params != params {
		t.Errorf("%d parameters, want %d", c.Params, params)
	}
	if got := float64(c.MAdds) / 1e6; math.Abs(got-madds) > within {
		t.Errorf("%.2f million multiply-adds, published are %.2f", got, madds)
	}
	if len(c.Unknown) != 0 {
		t.Errorf("unknown costs: %v", c.Unknown)
	}
	t.Logf("%d parameters, %d multiply-adds, %d element-wise, peak %d bytes", c.Params, c.MAdds, c.Elementwise, c.PeakActivation)
}
