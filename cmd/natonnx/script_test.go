package main

import (
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/transformer"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protowire"
)

var update = flag.Bool("update", false, "rewrite what the scripts in testdata/script expect")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"natonnx": main})
}

// TestScripts runs testdata/script: the program as its users see it. Scripts
// have these commands beside those of testscript:
//
//	exits CODE PROGRAM ARGS...   run a program, which must end with that code
//	network NAME FILE [OPTION]   make a network of package fixtures (small, tiny, few, batch, dynamo)
//	external FILE NEW DATA       copy a model, its weights to a data file beside it
//	decides FILE NULL KEEP SKIP  make a policy that scores every edge alike
//	json FILE [PATH VALUE]       FILE is JSON, and has that value at a.b.0.c
//	schema FILE NAME             FILE is a document of docs/schema/NAME.json
//	metadata FILE KEY VALUE      a model has that entry of metadata_props
//	note FILE KEY VALUE          set that entry of a model's metadata_props
//	empty FOLDER                 a folder has nothing in it
//	cut FILE BYTES               shorten a file
//	table FILE                   make a table like that of NAS-Bench-201
//	latencies FILE               make a table of the latencies of such cells on the devices pi, 2 ms, and gpu
//	records FILE COUNT           make that many CIFAR-10 records of noise, labelled 0, 1, ... 9, 0, ...
//	arrays FILE SHAPE            make a NumPy array of float32 of that shape: 4,3,32,32
//	waves FILE COUNT [VALUE]     make that many images of waves, 3x32x32, as such an array; the last number is VALUE
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exitsWith, "network": network, "external": external, "decides": decides, "json": isJSON, "schema": followsSchema,
			"metadata": metadata, "note": note, "empty": empty, "cut": cut, "table": benchTable, "latencies": benchLatencies, "records": records, "arrays": arrays, "waves": waves,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("COLUMNS", "80")
			return nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func network(ts *testscript.TestScript, _ bool, args []string) {
	var opt fixtures.Options
	for _, o := range args[2:] {
		switch o {
		case "small":
			opt.Width, opt.FoldBN = 0.5, true
		case "tiny":
			opt.Width, opt.Size, opt.Classes = 0.125, 32, 10
		case "few":
			opt.Classes = 5
		case "batch":
			opt.DynamicBatch = true
		case "dynamo":
			opt.Names = fixtures.Dynamo
		default:
			ts.Fatalf("unknown option %s", o)
		}
	}
	m, err := fixtures.Build(args[0], opt)
	ts.Check(err)
	ts.Check(m.Save(context.Background(), ts.MkAbs(args[1])))
}

// external is written on the wire format, since no command makes such models.
func external(ts *testscript.TestScript, _ bool, args []string) {
	model, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	var data []byte
	const graph, initializer, rawData, externalData, dataLocation = 7, 5, 9, 13, 14
	property := func(key, value string) []byte {
		p := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), key)
		return protowire.AppendString(protowire.AppendTag(p, 2, protowire.BytesType), value)
	}
	model = eachField(model, graph, func(g []byte) []byte {
		return eachField(g, initializer, func(tensor []byte) []byte {
			var out []byte
			eachField(tensor, rawData, func(raw []byte) []byte {
				out = eachField(tensor, rawData, nil)
				for _, p := range [][]byte{
					property("location", args[2]), property("offset", strconv.Itoa(len(data))), property("length", strconv.Itoa(len(raw))),
				} {
					out = protowire.AppendBytes(protowire.AppendTag(out, externalData, protowire.BytesType), p)
				}
				out = protowire.AppendVarint(protowire.AppendTag(out, dataLocation, protowire.VarintType), 1)
				data = append(data, raw...)
				return nil
			})
			return out
		})
	})
	path := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
	ts.Check(os.WriteFile(path, model, 0o666))
	ts.Check(os.WriteFile(filepath.Join(filepath.Dir(path), args[2]), data, 0o666))
}

// eachField replaces every message in a field of that number; a nil change
// leaves the field out.
func eachField(message []byte, number protowire.Number, change func([]byte) []byte) (out []byte) {
	for len(message) > 0 {
		num, kind, tag := protowire.ConsumeTag(message)
		n := tag + protowire.ConsumeFieldValue(num, kind, message[tag:])
		switch {
		case num != number:
			out = append(out, message[:n]...)
		case change != nil:
			value, _ := protowire.ConsumeBytes(message[tag:])
			out = protowire.AppendBytes(protowire.AppendTag(out, num, kind), change(value))
		}
		message = message[n:]
	}
	return out
}

// decides makes a policy whose weights are all zero but for the last bias, so
// that no decision depends on how the built-in policy was trained. It is one of
// the rules that have as many learnt actions as there are numbers.
func decides(ts *testscript.TestScript, _ bool, args []string) {
	rules := transformer.NAT
	if len(args)-1 > rules.Learnt() {
		rules = transformer.NATPlusPlus
	}
	params := transformer.GCNParams(rules, 1, 1, 2)
	for i, p := range params {
		params[i].Data = make([]float64, p.Rows*p.Cols)
	}
	for i, s := range args[1:] {
		x, err := strconv.ParseFloat(s, 64)
		ts.Check(err)
		params[len(params)-1].Data[i] = x
	}
	card := transformer.Card{Name: "test policy", Kind: "gcn", Rules: rules.Name, Training: "made by hand", Scores: []transformer.Score{}}
	g, err := transformer.NewGCN(card, params)
	ts.Check(err)
	ts.Check(g.Save(context.Background(), ts.MkAbs(args[0])))
}

func isJSON(ts *testscript.TestScript, neg bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	if len(args) == 1 {
		return
	}
	for _, key := range strings.Split(args[1], ".") {
		switch x := v.(type) {
		case map[string]any:
			value, ok := x[key]
			if !ok {
				ts.Fatalf("no field %s", key)
			}
			v = value
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(x) {
				ts.Fatalf("no element %s of %d", key, len(x))
			}
			v = x[i]
		default:
			ts.Fatalf("%v has no field %s", v, key)
		}
	}
	found, err := json.Marshal(v)
	ts.Check(err)
	if (string(found) == args[2]) == neg {
		ts.Fatalf("%s is %s, want %s", args[1], found, args[2])
	}
}

func metadata(ts *testscript.TestScript, _ bool, args []string) {
	m, err := onnxgraph.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, p := range m.Metadata {
		if p.Key == args[1] {
			if p.Value != args[2] {
				ts.Fatalf("%s is %s", p.Key, p.Value)
			}
			return
		}
	}
	ts.Fatalf("no %s in %v", args[1], m.Metadata)
}

func note(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	m, err := onnxgraph.Open(path)
	ts.Check(err)
	m, err = m.Apply(&onnxgraph.Patch{Rule: "test", Metadata: []onnxgraph.Property{{Key: args[1], Value: args[2]}}})
	ts.Check(err)
	ts.Check(m.Save(context.Background(), path))
}

func empty(ts *testscript.TestScript, _ bool, args []string) {
	list, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(list) > 0 {
		ts.Fatalf("there is %s", list[0].Name())
	}
}

func cut(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}

func records(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	r := rand.New(rand.NewPCG(1, 2))
	file := make([]byte, n*3073)
	for i := range file {
		file[i] = byte(r.UintN(256))
		if i%3073 == 0 {
			file[i] = byte(i / 3073 % 10)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), file, 0o666))
}

func arrays(ts *testscript.TestScript, _ bool, args []string) {
	n := 1
	for _, d := range strings.Split(args[1], ",") {
		k, err := strconv.Atoi(d)
		ts.Check(err)
		n *= k
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), array(args[1], make([]float32, n)), 0o666))
}

// array is a NumPy array of that shape.
func array(shape string, values []float32) []byte {
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", shape)
	header += strings.Repeat(" ", 117-len(header)) + "\n" // 128 bytes in all
	file := append([]byte("\x93NUMPY\x01\x00v\x00"), header...)
	for _, v := range values {
		file = binary.LittleEndian.AppendUint32(file, math.Float32bits(v))
	}
	return file
}

func waves(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	values := waveImages(n)
	if len(args) > 2 {
		x, err := strconv.ParseFloat(args[2], 32)
		ts.Check(err)
		values[len(values)-1] = float32(x)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), array(fmt.Sprintf("%d,3,32,32", n), values), 0o666))
}

// waveImages are images of 3x32x32 that differ more than noise does.
func waveImages(n int) (values []float32) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 3 * n {
		across, down, shift := 4*r.NormFloat64(), 4*r.NormFloat64(), 4*r.NormFloat64()
		for i := range 32 * 32 {
			values = append(values, float32(2*math.Sin((across*float64(i%32)+down*float64(i/32))/8+shift)))
		}
	}
	return values
}

func benchTable(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(tableOf201()), 0o666))
}

// tableOf201 is a table in which a cell is the better the more 3x3
// convolutions and skips it has.
func tableOf201() string {
	ops := []string{"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"}
	worth := []float64{0, 2, 1, 4, 0}
	var b strings.Builder
	b.WriteString("CIFAR10TestAccuracy200Epochs,CIFAR100TestAccuracy200Epochs,ImageNetTestAccuracy200Epochs,ArchitectureString,UniqueString\n")
	for cell := range 15625 {
		var op [6]string
		accuracy := 60.0
		for i, rest := 0, cell; i < 6; i, rest = i+1, rest/5 {
			op[i] = ops[rest%5]
			accuracy += worth[rest%5]
		}
		arch := fmt.Sprintf("|%s~0|+|%s~0|%s~1|+|%s~0|%s~1|%s~2|", op[0], op[1], op[2], op[3], op[4], op[5])
		fmt.Fprintf(&b, "%v,%v,%v,%s,%d\n", accuracy, accuracy-20, accuracy-40, arch, cell)
	}
	return b.String()
}

func benchLatencies(ts *testscript.TestScript, _ bool, args []string) {
	rows, err := csv.NewReader(strings.NewReader(tableOf201())).ReadAll()
	ts.Check(err)
	var b strings.Builder
	b.WriteString("arch,pi,gpu\n")
	for _, row := range rows[1:] {
		fmt.Fprintf(&b, "%s,2,0.5\n", row[3])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o666))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
