//go:build unix

package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Trainings that are killed at any time, again and again, come to the same bytes as
// those that nobody disturbs.
func TestTrainingsSurviveKill(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	images := "--data builtin:shapes/train --preprocess mean=0.5,0.5,0.5;std=0.25,0.25,0.25;size=8 --limit 1300 --batch 16 --seed 5"
	for name, training := range map[string]struct {
		args  string
		files []string // beside or in the output, that must be the same
	}{
		"supernet": {"supernet " + images + " --channels 2 --layers 3 --nodes 2 --epochs 3 --architectures 2", []string{"policy.onnx", "log.csv", "curves.svg"}},
		"network":  {"network --genotype NATv2_ResBlock --channels 4 --layers 3 --drop-path 0.2 --epochs 4 " + images, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			calm, killed := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "out")
			run := func(out string, patience time.Duration) (done bool) {
				c := program(t, append([]string{"train"}, strings.Fields(training.args+" -o "+out)...)...)
				var log strings.Builder
				c.Stderr = &log
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				timer := time.AfterFunc(patience, func() { c.Process.Kill() })
				err := c.Wait()
				timer.Stop()
				var exit *exec.ExitError
				if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
					return false
				}
				if err != nil {
					t.Fatalf("%v: %s", err, &log)
				}
				return true
			}
			began := time.Now()
			run(calm, time.Hour)
			whole := time.Since(began)
			patience := whole / 3
			kills := 0
			for !run(killed, patience) {
				kills++
				patience += whole / time.Duration(3+rand.IntN(5)) // a machine that got slower comes to an end, too
			}
			if kills == 0 {
				t.Log("it was never killed")
			}
			for _, file := range training.files {
				want, err := os.ReadFile(filepath.Join(calm, file))
				if err != nil {
					t.Fatal(err)
				}
				have, err := os.ReadFile(filepath.Join(killed, file))
				if err != nil {
					t.Fatal(err)
				}
				if string(have) != string(want) {
					t.Errorf("%s differs after %d kills", filepath.Join("out", file), kills)
				}
			}
		})
	}
}
