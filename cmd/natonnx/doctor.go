package main

import (
	"fmt"
	"runtime"

	"github.com/natonnx/natonnx/engine/backend"
	"github.com/natonnx/natonnx/engine/cpu"
	"github.com/urfave/cli/v2"
)

func (t *tool) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "show what networks can be run with on this machine",
		Description: "Shows the processor's instructions, cores and memory, and which runtimes can be used or why not. " +
			"A runtime that cannot be used is no failure: the runtime go always can be.",
		Action: t.doctor,
	}
}

// A doctorFact is what doctor prints.
type doctorFact struct {
	Schema   schemaV1      `json:"schema_version"`
	Version  string        `json:"natonnx_version"`
	Commit   string        `json:"commit"`
	Go       string        `json:"go"`
	OS       string        `json:"os"`
	Arch     string        `json:"arch"`
	Cores    int           `json:"cores"`        // that may be used
	Memory   *int64        `json:"memory_bytes"` // null: not known
	Offered  string        `json:"instructions_offered"`
	Used     string        `json:"instructions_used"`
	Runtimes []runtimeFact `json:"runtimes"`
}

// A runtimeFact is a runtime, and whether it can be used.
type runtimeFact struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	Usable bool   `json:"usable"`
	Reason string `json:"reason,omitempty"` // why not
}

func newDoctorFact() doctorFact {
	commit, _ := build()
	f := doctorFact{
		Version: version, Commit: commit, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0),
		Offered: cpu.Offered().String(), Used: cpu.Used().String(),
	}
	if n := machineMemory(); n > 0 {
		f.Memory = &n
	}
	for _, r := range backend.All() {
		one := runtimeFact{Name: r.Name(), About: r.About(), Usable: true}
		if err := r.Usable(); err != nil {
			one.Usable, one.Reason = false, err.Error()
		}
		f.Runtimes = append(f.Runtimes, one)
	}
	return f
}

func (t *tool) doctor(c *cli.Context) error {
	if _, err := arguments(c, 0); err != nil {
		return err
	}
	f := newDoctorFact()
	if t.json {
		return t.writeJSON(f)
	}
	if t.quiet {
		return nil
	}
	p := t.page()
	p.text(0, "natonnx %s %s %s/%s", f.Version, f.Go, f.OS, f.Arch)
	p.heading("machine")
	memory, instructions := "not known", f.Used
	if f.Memory != nil {
		memory = size(*f.Memory)
	}
	if f.Used != f.Offered {
		instructions += fmt.Sprintf(", as %s says; the processor has %s", cpu.Variable, f.Offered)
	}
	p.terms([]string{"cores", "memory", "instructions"}, []string{fmt.Sprint(f.Cores), memory, instructions})
	p.heading("runtimes")
	var terms, meanings []string
	for _, r := range f.Runtimes {
		meaning := "usable: " + r.About
		if !r.Usable {
			meaning = "not usable: " + r.Reason
		}
		terms, meanings = append(terms, r.Name), append(meanings, clean(meaning))
	}
	p.terms(terms, meanings)
	return nil
}
