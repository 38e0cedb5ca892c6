package main

import (
	"fmt"
	"os"
	"time"
)

// A progress shows how far something is, on standard error.
type progress struct {
	t     *tool
	line  bool // one line that is written over, as a terminal can
	none  bool
	drawn bool
	began time.Time
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
		fmt.Fprintf(p.t.log, "\r\x1b[K%s", clip(text, width(os.Stderr)-1))
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
	pause := often
	if !p.line {
		pause = seldom
	}
	if now := time.Now(); now.Sub(p.shown) >= pause {
		p.shown = now
		p.show(fmt.Sprintf("%d of %s%s", done, plural(of, thing), left(now.Sub(p.began), done, of)))
	}
}

// left writes how long the rest takes at the pace so far.
func left(passed time.Duration, done, of int) string {
	if done >= of {
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
