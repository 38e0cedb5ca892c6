package main

import (
	"strings"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/fleet/batch"
)

// What a task asks for and what it does agree: a network that is not run needs no
// room for that, and one that is run has asked for it.
func TestRoomToRun(t *testing.T) {
	m, err := fixtures.Build("resnet20", fixtures.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cost := m.Cost(m.Infer())
	in := &batch.Input{Structure: 10_000, Model: m}
	structure := structureNeed(in)
	weights := 4 * cost.Params
	for _, memory := range []int64{0, 1, structure, structure + weights, 4 * weights, 100 * weights, 1 << 40} {
		room := allowance{memory: memory}
		how := running{}.within(room, cost)
		need := room.need(in)
		switch runs := how.off == ""; {
		case runs && memory > structure && need < min(memory, structure+weights):
			t.Errorf("memory %d: it is run, and asks for %d only", memory, need)
		case !runs && need != structure:
			t.Errorf("memory %d: it is not run, and asks for %d", memory, need)
		case !runs && (memory == 0 || memory > 100*weights || !strings.Contains(how.off, "of memory, and the batch has")):
			t.Errorf("memory %d: %s", memory, how.off)
		case runs && memory > 0 && (how.opt.Memory <= 0 || how.opt.Memory >= memory):
			t.Errorf("memory %d: values may take %d", memory, how.opt.Memory)
		}
	}
	if how := (running{off: "--drift off"}).within(allowance{memory: 1}, cost); how.off != "--drift off" {
		t.Errorf("off because %q", how.off)
	}
	if need := (allowance{}).need(&batch.Input{Structure: 10_000}); need != structure {
		t.Errorf("a file that is no model needs %d", need)
	}
}

func TestJSONNames(t *testing.T) {
	for name, want := range map[string]string{"a/m.onnx": "a/m.plan.json", "m": "m.plan.json", "m.ort": "m.ort.plan.json", "x/y.json": "x/y.json", "m.onnx.onnx": "m.onnx.plan.json"} {
		if got := jsonName("plan")(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
