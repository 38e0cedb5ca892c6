package batch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	z := newZoo(t, map[string]string{
		"zoo/b.onnx": "b", "zoo/a.ONNX": "a", "zoo/sub/c.onnx": "c", "zoo/sub/notes.txt": "", "zoo/.git/d.onnx": "d", "zoo/.hidden.onnx": "",
		"other/b.onnx": "b", "empty/notes.md": "",
		"list.txt":     "\ufeff# models\n\nzoo/b.onnx\r\n  zoo/sub/c.onnx  \n",
		"list.csv":     "output,owner,input\nx/y.onnx,me,zoo/b.onnx\n,me,\"zoo/sub/c.onnx\"\n",
		"list.json":    `["zoo/b.onnx", {"input": "other/b.onnx", "output": "o.onnx"}]`,
		"typo.json":    `[{"input": "zoo/b.onnx", "outptu": "o.onnx"}]`,
		"object.json":  `{"input": "zoo/b.onnx"}`,
		"headless.csv": "zoo/b.onnx,x.onnx\n",
		"ragged.csv":   "input,output\nzoo/b.onnx\n",
		"void.csv":     "",
		"gap.csv":      "input\n\"\"\n",
		"binary.txt":   "a\x00b\n",
		"absolute.txt": "/nowhere/m.onnx\n../m.onnx\n",
		"none.txt":     "# nothing\n",
	})
	t.Chdir(z.in)
	if runtime.GOOS != "windows" {
		if err := os.Symlink("zoo", "link"); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		args, out, stdin string
		want             string // Name<-Input, or what the error says
	}{
		{args: "zoo", want: "a.ONNX<-zoo/a.ONNX b.onnx<-zoo/b.onnx sub/c.onnx<-zoo/sub/c.onnx"},
		{args: "link/", want: "a.ONNX<-link/a.ONNX b.onnx<-link/b.onnx sub/c.onnx<-link/sub/c.onnx"},
		{args: "zoo zoo/b.onnx", want: "a.ONNX<-zoo/a.ONNX b.onnx<-zoo/b.onnx sub/c.onnx<-zoo/sub/c.onnx"},
		{args: "zoo/sub/c.onnx", want: "c.onnx<-zoo/sub/c.onnx"},
		{args: "zoo/*/*.onnx", want: ".git/d.onnx<-zoo/.git/d.onnx sub/c.onnx<-zoo/sub/c.onnx"},
		{args: "zoo/*.onx", want: "zoo/*.onx: no models found"},
		{args: "zoo/**/c.onnx", want: "** has no meaning here"},
		{args: "zoo/[", want: "is no pattern"},
		{args: "empty", want: "empty: no models found"},
		{args: "absent", want: "no such file"},
		{args: "zoo zoo/.", out: "zoo/nat", want: "zoo: holds the output folder"},
		{args: "zoo", out: "zoo", want: "zoo: is the output folder"},
		{args: "zoo", out: "link/new/deep", want: "zoo: holds the output folder"},
		{args: "zoo/sub", out: "zoo", want: "zoo/sub/c.onnx: lies in the output folder zoo"},
		{args: "zoo/b.onnx", out: "zoo/nat", want: "b.onnx<-zoo/b.onnx"},
		{args: "list.txt", want: "zoo/b.onnx<-zoo/b.onnx zoo/sub/c.onnx<-zoo/sub/c.onnx"},
		{args: "list.csv", want: "x/y.onnx<-zoo/b.onnx zoo/sub/c.onnx<-zoo/sub/c.onnx"},
		{args: "list.json", want: "o.onnx<-other/b.onnx zoo/b.onnx<-zoo/b.onnx"},
		{args: "-", stdin: "zoo/b.onnx\n", want: "zoo/b.onnx<-zoo/b.onnx"},
		{args: "-", stdin: "", want: "-: no models found"},
		{args: "absolute.txt", want: "m.onnx<-/nowhere/m.onnx m.onnx<-../m.onnx"},
		{args: "typo.json", want: `typo.json: is no manifest: json: unknown field "outptu"`},
		{args: "object.json", want: "object.json: is no manifest"},
		{args: "headless.csv", want: "want the names of the columns"},
		{args: "ragged.csv", want: "ragged.csv: is no manifest"},
		{args: "void.csv", want: "it is empty"},
		{args: "gap.csv", want: `entry 1: input ""`},
		{args: "binary.txt", want: "line 1: holds a zero byte"},
		{args: "none.txt", want: "no models found"},
	} {
		out := test.out
		if out == "" {
			out = "elsewhere"
		}
		items, err := Find(t.Context(), strings.Fields(test.args), out, strings.NewReader(test.stdin))
		var list []string
		for _, item := range items {
			list = append(list, item.Name+"<-"+filepath.ToSlash(item.Input))
		}
		got := strings.Join(list, " ")
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != test.want || err != nil && !strings.Contains(got, test.want) {
			t.Errorf("%s to %s: got\n%s\nwant\n%s", test.args, out, got, test.want)
		}
	}
}

// Whatever a manifest says, it gives items with an input, or an error.
func FuzzManifest(f *testing.F) {
	for _, kind := range []string{".txt", ".csv", ".json"} {
		for _, text := range []string{"", "a.onnx\n", "input,output\na,b\n", `["a", {"input": "b", "output": "../c"}]`, "input\n\"", "[[]]", "\ufeff"} {
			f.Add(kind, []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		items, err := manifest("list", kind, "dir", data)
		for _, item := range items {
			if item.Input == "" || item.Name == "" || err != nil {
				t.Errorf("%+v, %v", item, err)
			}
		}
		if len(items) > 0 {
			checkOutputs(&Task{}, items)
			_ = fmt.Sprint(items)
		}
	})
}
