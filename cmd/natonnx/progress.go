package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/natonnx/natonnx/fleet/batch"
	"github.com/natonnx/natonnx/internal/legible"
	"github.com/natonnx/natonnx/train/compress"
)

// A progress shows how far something is, on standard error.
type progress struct {
	t     *tool
	line  bool // one line that is written over, as a terminal can
	none  bool
	drawn bool
	began time.Time
	stage string // of work that has several
	shown time.Time
}

func newProgress(t *tool, when string) *progress {
	terminal := isTerminal(os.Stderr)
	return &progress{t: t, began: time.Now(), line: when == "auto" && terminal, none: when == "none" || t.quiet || when == "auto" && !terminal}
}

func (p *progress) show(text string) {
	switch {
	case p.none:
	case p.line:
		fmt.Fprintf(p.t.log, "\r\x1b[K%s", legible.Clip(text, width(os.Stderr)-1))
		p.drawn = true
	default:
		fmt.Fprintln(p.t.log, text)
	}
}

// How often progress is shown: where a line is written over, and line by line.
const often, seldom = 100 * time.Millisecond, 5 * time.Second

// samples shows how many of all samples are done, not too often.
func (p *progress) samples(done, of int) { p.count(done, of, "sample") }

// count shows how many things are done, not too often.
func (p *progress) count(done, of int, thing string) {
	if p.due() {
		p.show(fmt.Sprintf("%d of %s%s", done, legible.Plural(of, thing), left(time.Since(p.began), done, of)))
	}
}

// due reports whether it is time to show something again.
func (p *progress) due() bool {
	pause, now := often, time.Now()
	if !p.line {
		pause = seldom
	}
	if now.Sub(p.shown) < pause {
		return false
	}
	p.shown = now
	return true
}

// models shows how many models are done, not too often.
func (p *progress) models() func(done, of int, row *batch.Row) {
	bad, worked, pause := 0, 0, often
	if !p.line {
		pause = seldom
	}
	p.shown = p.began
	return func(done, of int, row *batch.Row) {
		if row.Status.Bad() {
			bad++
		}
		if !row.Recorded {
			worked++
		}
		now := time.Now()
		if now.Sub(p.shown) < pause {
			return
		}
		p.shown = now
		text := ofModels(done, of, bad, worked, now.Sub(p.began))
		if p.line {
			text = bar(done, of) + " " + text
		}
		p.show(text)
	}
}

// ofModels writes how far a batch is, and how fast: what earlier runs have done
// says nothing of that.
func ofModels(done, of, bad, worked int, passed time.Duration) string {
	text := fmt.Sprintf("%d of %s", done, legible.Plural(of, "model"))
	if bad > 0 {
		text += fmt.Sprintf(", %d failed", bad)
	}
	if worked == 0 || done >= of {
		return text
	}
	return text + fmt.Sprintf(", %s/s", significant(float64(worked)/passed.Seconds())) + left(passed, worked, worked+of-done)
}

// bar draws the share that is done.
func bar(done, of int) string {
	const length = 20
	full := length * done / max(of, 1)
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", length-full) + "]"
}

// compressing shows how far a compression is, not too often. Each of its stages
// begins anew.
func (p *progress) compressing(s compress.Progress) {
	pause := often
	if !p.line {
		pause = seldom
	}
	now := time.Now()
	if s.Stage == p.stage && now.Sub(p.shown) < pause {
		return
	}
	if s.Stage != p.stage {
		p.stage, p.began = s.Stage, now
	}
	p.shown = now
	text := s.Stage
	if s.Of > 0 {
		text += fmt.Sprintf(" %d of %d", s.Done, s.Of)
	}
	if s.Done > 0 {
		text += left(now.Sub(p.began), s.Done, s.Of)
	}
	switch s.Stage {
	case "searching":
		text += fmt.Sprintf(", best so far %.1f %% of the multiply-adds at %.2g nats", 100*s.MAdds, s.Loss)
	case "timing":
		text += fmt.Sprintf(" a network of %.1f %% of the multiply-adds", 100*s.MAdds)
	}
	p.show(text)
}

// left writes how long the rest takes at the pace so far.
func left(passed time.Duration, done, of int) string {
	if done == 0 || done >= of {
		return ""
	}
	return ", " + (passed * time.Duration(of-done) / time.Duration(done)).Round(time.Second).String() + " left"
}

// end leaves the line of the progress.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.t.log)
		p.drawn = false
	}
}
