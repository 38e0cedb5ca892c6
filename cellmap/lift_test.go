package cellmap_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
)

// counts is what a network is expected to be read as.
type counts struct {
	kind                            cellmap.Kind
	cells, identity, projection, by int // by: cells that halve the resolution
}

func count(m *cellmap.Map) counts {
	var c counts
	for _, cell := range m.Cells {
		c.kind = cell.Kind
		c.cells++
		switch cell.Shortcut {
		case cellmap.Identity:
			c.identity++
		case cellmap.Projection:
			c.projection++
		}
		if cell.Reduction {
			c.by++
		}
	}
	return c
}

// published are the blocks of the networks' papers.
var published = map[string]counts{
	"resnet18":     {cellmap.Residual, 8, 5, 3, 3},
	"resnet34":     {cellmap.Residual, 16, 13, 3, 3},
	"resnet50":     {cellmap.Residual, 16, 12, 4, 3},
	"resnet20":     {cellmap.Residual, 9, 7, 2, 2},
	"resnet32":     {cellmap.Residual, 15, 13, 2, 2},
	"resnet56":     {cellmap.Residual, 27, 25, 2, 2},
	"vgg11":        {cellmap.Stage, 5, 0, 0, 5},
	"vgg16":        {cellmap.Stage, 5, 0, 0, 5},
	"vgg16_bn":     {cellmap.Stage, 5, 0, 0, 5},
	"vgg19":        {cellmap.Stage, 5, 0, 0, 5},
	"vgg19_bn":     {cellmap.Stage, 5, 0, 0, 5},
	"mobilenet_v2": {cellmap.InvertedResidual, 17, 10, 0, 4},
}

// dialects are the ways in which exporters write one network.
var dialects = map[string]fixtures.Dialect{
	"torchscript":    {},
	"folded":         {FoldBN: true},
	"opset 9":        {Opset: 9, Names: fixtures.Legacy},
	"caffe2":         {Opset: 9, Names: fixtures.Legacy, Sum: true, ListInitializers: true, Dropout: true},
	"dynamo":         {Names: fixtures.Dynamo, FoldBN: true, DynamicBatch: true},
	"reshape tail":   {ReshapeTail: true, DynamicBatch: true},
	"identity nodes": {Identity: true, Dropout: true},
	"tensorflow":     {Pad: true, FoldBN: true},
}

func TestLiftFindsThePublishedBlocksInEveryDialect(t *testing.T) {
	for name, want := range published {
		for dialect, d := range dialects {
			// A quarter of the channels would make two of MobileNetV2's counts equal.
			width := map[bool]float64{true: 1, false: 0.25}[name == "mobilenet_v2"]
			m, err := fixtures.Build(name, fixtures.Options{Width: width, Dialect: d})
			if err != nil {
				t.Fatal(err)
			}
			if got := count(cellmap.Lift(m)); got != want {
				t.Errorf("%s, %s: %+v, want %+v", name, dialect, got, want)
			}
		}
	}
}

func TestLiftRealModels(t *testing.T) {
	for file, want := range map[string]counts{
		"cifar10/ace_resnet20_cifar10_pre.onnx":                   {cellmap.Residual, 9, 7, 2, 2},
		"cifar10/ace_resnet32_cifar10_pre.onnx":                   {cellmap.Residual, 15, 13, 2, 2},
		"cifar10/ace_resnet56_cifar10_pre.onnx":                   {cellmap.Residual, 27, 25, 2, 2},
		"cifar10/amandashi95_resnet20.onnx":                       {cellmap.Residual, 9, 7, 2, 2},
		"cifar10/resnet_2b.onnx":                                  {cellmap.Residual, 2, 1, 1, 1},
		"cifar10/sri_resnet_3b2_bn_mixup_adv_4.0_bs128_lr-1.onnx": {cellmap.Residual, 3, 0, 3, 3},
		"cifar10/kakao16_mobilenetv2_cifar10.onnx":                {cellmap.InvertedResidual, 17, 10, 0, 4},
		"imagenet/derived_mobilenetv2_fp32.onnx":                  {cellmap.InvertedResidual, 17, 10, 0, 4},
		"quantized/diablo_mobilenetv2_quant_static.onnx":          {cellmap.InvertedResidual, 17, 10, 0, 4},
		"topology/light_resnet50.onnx":                            {cellmap.Residual, 16, 12, 4, 3},
		"topology/light_vgg19.onnx":                               {cellmap.Stage, 5, 0, 0, 5},
		"topology/m25_resnet18.onnx":                              {cellmap.Residual, 8, 5, 3, 3},
		"topology/m25_mobilenetv2.onnx":                           {cellmap.InvertedResidual, 17, 10, 0, 4},
		"topology/zigzag_resnet18.onnx":                           {cellmap.Residual, 8, 5, 3, 3},
	} {
		m, err := onnxgraph.Open(corpus.Need(t, "models", filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		if got := count(cellmap.Lift(m)); got != want {
			t.Errorf("%s: %+v, want %+v", file, got, want)
		}
	}
}

// The cells of the hand-crafted networks are those of the authors' genotypes
// (spec section 6) where channel counts do not differ.
func TestLiftedCellsAreThePublishedOnes(t *testing.T) {
	for _, tc := range []struct{ network, cell, want string }{
		{"resnet18", "layer1.0", // ResBlock
			"Genotype(normal=[('null', 0, 2), ('skip_connect', 1, 2), ('null', 0, 3), ('conv_3x3', 2, 3), ('null', 0, 4), ('conv_3x3', 3, 4), ('skip_connect', 2, 5), ('skip_connect', 4, 5)], normal_concat=[5], reduce=[], reduce_concat=[])"},
		{"vgg16", "stage 1", // VGG, reduction
			"Genotype(normal=[('null', 0, 2), ('skip_connect', 1, 2), ('null', 0, 3), ('conv_3x3', 2, 3), ('null', 0, 4), ('conv_3x3', 3, 4), ('null', 0, 5), ('max_pool_3x3', 4, 5)], normal_concat=[5], reduce=[], reduce_concat=[])"},
		{"mobilenet_v2", "features.3", // Mobilenetv2, normal
			"Genotype(normal=[('null', 0, 2), ('conv_1x1', 1, 2), ('null', 0, 3), ('sep_conv_3x3', 2, 3), ('null', 0, 4), ('conv_1x1', 3, 4), ('skip_connect', 1, 5), ('skip_connect', 4, 5)], normal_concat=[5], reduce=[], reduce_concat=[])"},
		{"mobilenet_v2", "features.4", // Mobilenetv2, reduction
			"Genotype(normal=[('null', 0, 2), ('conv_1x1', 1, 2), ('null', 0, 3), ('sep_conv_3x3', 2, 3), ('null', 0, 4), ('conv_1x1', 3, 4), ('null', 0, 5), ('skip_connect', 4, 5)], normal_concat=[5], reduce=[], reduce_concat=[])"},
	} {
		m, err := fixtures.Build(tc.network, fixtures.Options{Width: 0.25})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, c := range cellmap.Lift(m).Cells {
			if c.Name == tc.cell {
				found = true
				if got := (cellmap.Genotype{Normal: c.Form().Published()}).String(); got != tc.want {
					t.Errorf("%s %s:\n got %s\nwant %s", tc.network, tc.cell, got, tc.want)
				}
			}
		}
		if !found {
			t.Errorf("%s: no cell %q", tc.network, tc.cell)
		}
	}
}

// Networks that are no chain of such blocks lift what fits and say why not for the rest.
func TestLiftGivesReasons(t *testing.T) {
	for name, tc := range map[string]struct {
		cells  int
		reason string
	}{
		"alexnet":            {2, "conv_11x11 of stride 4"},
		"densenet121":        {0, "concatenates inside the block"},
		"squeezenet1_1":      {8, "conv_3x3 of stride 2"},
		"shufflenet_v2_x1_0": {3, "Split is not among a cell's operators"},
		"efficientnet_b0":    {0, "squeeze-and-excitation"},
		"resnet20_padded":    {7, "Slice is not among a cell's operators"},
	} {
		m, err := fixtures.Build(name, fixtures.Options{Width: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		lifted := cellmap.Lift(m)
		var reasons []string
		for _, r := range lifted.Refused {
			reasons = append(reasons, r.Error())
		}
		if len(lifted.Cells) != tc.cells || !strings.Contains(strings.Join(reasons, "\n"), tc.reason) {
			t.Errorf("%s: %d cells, want %d; reasons %q, want %q among them", name, len(lifted.Cells), tc.cells, reasons, tc.reason)
		}
	}
}
