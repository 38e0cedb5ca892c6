package report_test

import (
	"fmt"
	"os"

	"github.com/natonnx/natonnx/fleet/check"
	"github.com/natonnx/natonnx/fleet/check/report"
)

func ExampleWrite() {
	r := &check.Report{
		FailOn: check.Error, Counts: check.Counts{Errors: 1},
		Results: []check.Result{{Path: "a.onnx", Findings: []check.Finding{
			{Rule: "NAT004", Severity: check.Error, Path: "a.onnx", Where: "opset_import", Message: "the opset is 9, want 13 or more", Wanted: "13 or more", Found: "9"},
		}}},
	}
	for _, format := range []string{"text", "github"} {
		if err := report.Write(os.Stdout, format, r, report.Options{}); err != nil {
			fmt.Println(err)
		}
		fmt.Println("--")
	}
	// Output:
	// a.onnx: 1 error
	//   error    NAT004 opset: opset_import: the opset is 9, want 13 or more
	//
	// failed: 1 error in 1 model
	// --
	// ::error file=a.onnx,title=NAT004 opset::opset_import: the opset is 9, want 13 or more
	// natonnx check failed: 1 error in 1 model
	// --
}
