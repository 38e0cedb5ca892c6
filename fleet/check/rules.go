package check

// The rules that say that a file is no valid model.
const (
	valid    = "NAT001"
	readable = "NAT002"
	external = "NAT003"
	metadata = "NAT021"
)

// Rules lists all rules by ID.
var Rules = []Rule{
	{valid, "valid", Error, "the file is a valid ONNX model", "export the model again, with a version of the exporter that writes what the specification asks for"},
	{readable, "readable", Error, "the file can be read and is a model, not a Git LFS pointer, a web page or a part of one", "fetch the real file: git lfs pull, or download it again"},
	{external, "external-data", Error, "external data are there, whole, and inside the model's folder", "ship the data files beside the model, under the names that it states"},
	{"NAT004", "opset", Error, "the opset version is within bounds", "export with an opset that the runtime in use supports"},
	{"NAT005", "ir-version", Error, "the IR version is within bounds", "export with a version of the onnx package that the runtime in use supports"},
	{"NAT006", "parameters", Error, "the model has no more parameters than budgeted", "make the network narrower or shallower, or raise the budget"},
	{"NAT007", "multiply-adds", Error, "a run takes no more multiply-adds than budgeted", "make the network cheaper (natonnx inspect -v shows each node's cost), or raise the budget"},
	{"NAT008", "activation-memory", Error, "the peak of activation memory is within budget", "lower the resolution or the width of early layers, or raise the budget"},
	{"NAT009", "file-size", Error, "the file with its external data is no larger than budgeted", "store fewer or smaller weights, or raise the budget"},
	{"NAT010", "latency", Error, "the measured latency is within budget", "make the network cheaper, or raise the budget; timings depend on the machine"},
	{"NAT011", "finite-weights", Error, "no weight is NaN or infinite", "look for what diverged in training, and export a good checkpoint"},
	{"NAT012", "drift", Error, "the outputs are those of the base, within the tolerance", "find out what changed the network; raise the tolerance if the change is meant"},
	{"NAT013", "interface", Error, "inputs, outputs and opset are those of the base", "keep the interface, or update the base together with who uses the model"},
	{"NAT014", "growth", Error, "the cost has not grown over that of the base by more than allowed", "undo what made it grow, or raise max-growth"},
	{"NAT015", "test-data", Error, "the model computes the outputs of the test_data_set folders beside it", "export the test data together with the model"},
	{"NAT016", "no-op", Note, "no node does nothing, such as Identity, or Dropout in inference", "simplify the graph when exporting"},
	{"NAT017", "unused", Warning, "every node, initializer and input is used", "remove what nothing reads when exporting"},
	{"NAT018", "duplicate-initializers", Note, "no tensor is stored twice", "share the tensor: tie the weights before exporting"},
	{"NAT019", "redundant-operations", Note, "the policy sees no operation to remove", "natonnx plan shows the moves, natonnx optimize makes them"},
	{"NAT020", "required-metadata", Error, "the metadata hold all keys that are required", "write the keys into metadata_props when exporting"},
	{metadata, "duplicate-metadata", Error, "no key of the metadata stands there twice", "write every key once"},
	{"NAT022", "node-names", Note, "every node has a name of its own", "name the nodes when exporting, so that reports and profiles can tell them apart"},
	{"NAT023", "operators", Warning, "every operator is one of ONNX in the model's opset, or of an allowed domain", "replace the operator, raise the opset, or allow the domain where the runtime in use has it"},
	{"NAT024", "weight-types", Warning, "weights have one of the allowed element types", "convert the weights when exporting"},
	{"NAT025", "batch", Error, "the batch dimension is dynamic or fixed, as configured", "export with dynamic axes, or without"},
	{"NAT026", "retrain", Error, "the model is not marked as one that has to be retrained", "retrain it (natonnx optimize changed what it computes), and remove natonnx.retrain from its metadata"},
}

// A need is how much of a model must be sound for a rule to be checked.
type need int

const (
	nothing   need = iota // the file itself
	structure             // a file that can be decoded
	graph                 // a valid graph, external data apart
	weights               // all of it
)

// A procedure is how a rule is checked.
type procedure struct {
	needs need
	// applies reports whether it is asked for, given whether there should be a
	// base; nil: always.
	applies func(s *Settings, against bool) bool
	check   func(*subject) error // an error is of the context
}

// procedures says how each rule is checked.
var procedures = map[string]procedure{
	valid:    {nothing, nil, (*subject).isValid},
	readable: {nothing, nil, (*subject).isReadable},
	external: {nothing, nil, (*subject).hasExternalData},
	"NAT004": {structure, set(func(s *Settings) bool { return s.MinOpset+s.MaxOpset > 0 }), (*subject).opset},
	"NAT005": {structure, set(func(s *Settings) bool { return s.MinIRVersion+s.MaxIRVersion > 0 }), (*subject).irVersion},
	"NAT006": {graph, set(func(s *Settings) bool { return s.MaxParams.set() }), (*subject).parameters},
	"NAT007": {graph, set(func(s *Settings) bool { return s.MaxMAdds.set() }), (*subject).multiplyAdds},
	"NAT008": {graph, set(func(s *Settings) bool { return s.MaxMemory.set() }), (*subject).activationMemory},
	"NAT009": {structure, set(func(s *Settings) bool { return s.MaxSize.set() }), (*subject).fileSize},
	"NAT010": {weights, set(func(s *Settings) bool { return s.MaxLatency > 0 }), (*subject).latency},
	"NAT011": {weights, nil, (*subject).finiteWeights},
	"NAT012": {weights, compared, (*subject).drift},
	"NAT013": {structure, compared, (*subject).sameInterface},
	"NAT014": {graph, set(func(s *Settings) bool { return s.MaxGrowth != nil }), (*subject).growth},
	"NAT015": {weights, nil, (*subject).testData},
	"NAT016": {graph, nil, (*subject).noOps},
	"NAT017": {graph, nil, (*subject).unused},
	"NAT018": {weights, nil, (*subject).duplicates},
	"NAT019": {graph, nil, (*subject).redundant},
	"NAT020": {structure, set(func(s *Settings) bool { return len(s.RequiredMetadata) > 0 }), (*subject).requiredMetadata},
	metadata: {nothing, nil, (*subject).duplicateMetadata},
	"NAT022": {structure, nil, (*subject).nodeNames},
	"NAT023": {structure, nil, (*subject).operators},
	"NAT024": {graph, nil, (*subject).weightTypes},
	"NAT025": {structure, set(func(s *Settings) bool { return s.Batch != "any" }), (*subject).batch},
	"NAT026": {structure, nil, (*subject).retrain},
}

func set(asked func(*Settings) bool) func(*Settings, bool) bool {
	return func(s *Settings, _ bool) bool { return asked(s) }
}

func compared(_ *Settings, against bool) bool { return against }
