package measure

import (
	"context"
	"testing"

	"github.com/natonnx/natonnx/internal/corpus"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/dataset"
)

// The accuracies of real networks, as ONNX Runtime measured them on more
// pictures than there are here, lie within the sampling error of what is
// measured with the engine.
func TestPublishedAccuracies(t *testing.T) {
	if testing.Short() {
		t.Skip("runs networks on hundreds of pictures")
	}
	const statistics = "mean=0.485,0.456,0.406;std=0.229,0.224,0.225"
	cifar, imagenet := []string{"data", "cifar10", "lossless_val517.bin"}, []string{"data", "imagenet", "val500"}
	for _, test := range []struct {
		model      []string
		published  float64 // in percent
		data       []string
		preprocess string
		samples    int // 0: all
	}{
		{[]string{"cifar10", "ace_resnet20_cifar10_pre.onnx"}, 91.1, cifar, statistics, 0},
		{[]string{"cifar10", "ace_resnet32_cifar10_pre.onnx"}, 92.8, cifar, statistics, 0},
		{[]string{"cifar10", "ace_resnet56_cifar10_pre.onnx"}, 93.9, cifar, statistics, 0},
		{[]string{"cifar10", "amandashi95_resnet20.onnx"}, 92.2, cifar, statistics, 0},
		{[]string{"cifar10", "resnet_2b.onnx"}, 70, cifar, statistics, 0},
		{[]string{"cifar10", "sri_resnet_3b2_bn_mixup_adv_4.0_bs128_lr-1.onnx"}, 81, cifar, statistics, 0},
		{[]string{"imagenet", "derived_mobilenetv2_fp32.onnx"}, 82.1, imagenet, "imagenet", 0},
		{[]string{"quantized", "diablo_mobilenetv2_quant_static.onnx"}, 80.4, imagenet, "imagenet", 100},
	} {
		t.Run(test.model[1], func(t *testing.T) {
			graph, err := onnxgraph.Open(corpus.Need(t, append([]string{"models"}, test.model...)...))
			if err != nil {
				t.Fatal(err)
			}
			p, err := dataset.ParsePreprocess(test.preprocess)
			if err != nil {
				t.Fatal(err)
			}
			data, err := dataset.Open(corpus.Need(t, test.data...), p)
			if err != nil {
				t.Fatal(err)
			}
			if test.samples > 0 {
				data = data.Sample(test.samples, 0)
			}
			m, err := Open(t.Context(), graph, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			e, err := Evaluate(context.Background(), m, nil, data, EvaluateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			low, high := e.Accuracy.Top1.Interval()
			t.Logf("published %.1f %%, measured %.2f %% (%.1f to %.1f %%) on %d", test.published, 100*e.Accuracy.Top1.Value(), 100*low, 100*high, e.Samples)
			if e.Samples != data.Len() || test.published < 100*low || test.published > 100*high {
				t.Error("the published accuracy is not within the interval")
			}
		})
	}
}
