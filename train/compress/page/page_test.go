package page

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/natonnx/natonnx/train/compress"
	"github.com/natonnx/natonnx/train/measure"
)

const hostile = "<script>alert(\"x\")</script>'&\r\n]]>-->\x00\x1b[31m\u202e\xff=1+1,;\t" + `<img src=x onerror=alert(1)>`

// curve is what a search might find, with names of strangers.
func curve(name string, labels bool) *Curve {
	c := &Curve{
		Version: "1", Model: name + ".onnx", Data: name, Search: "nat", Runtime: name, Notes: []string{name},
		Input: compress.Point{Cost: compress.Cost{MAdds: 126_642_000, Params: 853_018, Memory: 131_072, Latency: 2 * time.Millisecond}, Agreement: measure.Share{Count: 500, Of: 500}},
	}
	for i := range 24 {
		x := 1 - 0.02*float64(i+1)
		p := compress.Point{
			Moves:     []string{name + ": node 1: conv_3x3 from 0 -> null"},
			Cost:      compress.Cost{MAdds: int64(126_642_000 * x), Params: int64(853_018 * x), Memory: 131_072, Latency: time.Duration(2e6 * x)},
			Loss:      0.01 / x / 3,
			Agreement: measure.Share{Count: 500 - 4*i, Of: 500},
			Chosen:    i == 7,
		}
		if i%4 == 3 {
			p.Agreement.Count -= 60
		}
		c.Points = append(c.Points, p)
	}
	c.Rivals = []Rival{{"greedy " + name, c.Points[:9]}, {"random", c.Points[9:]}, {"third", nil}, {"fourth", c.Points[2:5]}}
	if labels {
		label(&c.Input)
		for i := range c.Points {
			label(&c.Points[i])
		}
	}
	return c
}

// label gives a point an accuracy that is somewhat below its agreement.
func label(p *compress.Point) {
	p.Accuracy = &measure.Share{Count: p.Agreement.Count * 94 / 100, Of: p.Agreement.Of}
}

func written(t testing.TB, f Format, c *Curve) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, f, c); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormatOf(t *testing.T) {
	for path, want := range map[string]Format{"curve.csv": CSV, "a/b.c/curve.SVG": SVG, "x.Html": HTML, "curve": 0, "curve.csv.gz": 0, "curve.htm": 0, "": 0, "svg": 0, ".svg": SVG} {
		if f, ok := FormatOf(path); f != want || ok != (want != 0) {
			t.Errorf("%q: %d, %v, want %d", path, f, ok, want)
		}
	}
	if err := Write(io.Discard, 0, curve("net", false)); err == nil {
		t.Error("no format was accepted")
	}
}

// Every measure of every point can be read back from the table.
func TestCSVIsExact(t *testing.T) {
	c := curve(hostile, true)
	lines, err := csv.NewReader(strings.NewReader(written(t, CSV, c))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, name := range lines[0] {
		at[name] = i
	}
	want := append([]compress.Point{c.Input}, c.Points...) // costs fall already
	for i, p := range want {
		line := lines[i+1]
		integer := func(name string, want int64) {
			t.Helper()
			if got, err := strconv.ParseInt(line[at[name]], 10, 64); err != nil || got != want {
				t.Errorf("point %d: %s is %s, want %d", i, name, line[at[name]], want)
			}
		}
		real := func(name string, want float64) {
			t.Helper()
			if got, err := strconv.ParseFloat(line[at[name]], 64); err != nil || got != want {
				t.Errorf("point %d: %s is %s, want %v", i, name, line[at[name]], want)
			}
		}
		integer("point", int64(i))
		integer("multiply_adds", p.Cost.MAdds)
		integer("params", p.Cost.Params)
		integer("activation_bytes", p.Cost.Memory)
		integer("latency_ns", int64(p.Cost.Latency))
		real("multiply_adds_share", float64(p.Cost.MAdds)/126_642_000)
		real("params_share", float64(p.Cost.Params)/853_018)
		real("activation_bytes_share", 1)
		real("latency_share", float64(p.Cost.Latency)/2e6)
		real("loss_nats", p.Loss)
		for name, s := range map[string]measure.Share{"agreement": p.Agreement, "accuracy": *p.Accuracy} {
			low, high := s.Interval()
			real(name, float64(s.Count)/float64(s.Of))
			real(name+"_low", low)
			real(name+"_high", high)
			integer(name+"_count", int64(s.Count))
			integer(name+"_of", int64(s.Of))
		}
		if got := line[at["chosen"]]; got != strconv.FormatBool(i == 8) {
			t.Errorf("point %d: chosen is %s", i, got)
		}
		if i > 0 && !strings.Contains(line[at["moves"]], "conv_3x3 from 0 -> null") {
			t.Errorf("point %d: moves are %q", i, line[at["moves"]])
		}
	}
	rivals := map[string]int{}
	for _, line := range lines[len(want)+1:] {
		rivals[line[0]]++
		if line[at["chosen"]] != "false" {
			t.Errorf("a rival's point is chosen: %q", line)
		}
	}
	if len(rivals) != 4 || rivals["random"] != 16 || rivals["third"] != 1 {
		t.Errorf("rivals have %v points", rivals)
	}
	for _, line := range lines {
		for _, field := range line {
			if field != "" && strings.ContainsAny(field[:1], "=+@") {
				t.Errorf("a spreadsheet would compute %q", field)
			}
			if strings.ContainsAny(field, "\x00\x1b\r\n") {
				t.Errorf("%q has control characters", field)
			}
		}
	}
}

func TestCSVLeavesOutWhatWasNotMeasured(t *testing.T) {
	c := curve("net", false)
	c.Input.Cost.Latency = 0
	lines, err := csv.NewReader(strings.NewReader(written(t, CSV, c))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range lines[0] {
		empty := strings.HasPrefix(name, "accuracy") || strings.HasPrefix(name, "latency")
		if (lines[3][i] == "") != empty {
			t.Errorf("%s is %q", name, lines[3][i])
		}
	}
}

// The front is what no other point beats, by definition.
func TestFront(t *testing.T) {
	for _, labels := range []bool{false, true} {
		c := curve("net", labels)
		rows := c.rows("", c.Points)
		beats := func(a, b row) bool {
			x, y := c.shown(&a.Point), c.shown(&b.Point)
			better := x.Count > y.Count || x.Count == y.Count && a.Loss < b.Loss
			same := x.Count == y.Count && a.Loss == b.Loss
			return better && a.Cost.MAdds <= b.Cost.MAdds || same && a.Cost.MAdds < b.Cost.MAdds
		}
		for _, r := range rows {
			beaten := slices.ContainsFunc(rows, func(other row) bool { return beats(other, r) })
			if r.front == beaten {
				t.Errorf("point %d: front %v, beaten %v", r.number, r.front, beaten)
			}
		}
	}
}

func TestScale(t *testing.T) {
	for _, test := range []struct {
		low, high float64
		most      int
		want      string
	}{
		{0.5, 1, 11, "50 55 60 65 70 75 80 85 90 95 100"},
		{0.5, 1, 5, "40 60 80 100"},
		{0.913, 1, 9, "90 92 94 96 98 100"},
		{0.9931, 0.9999, 9, "99.3 99.4 99.5 99.6 99.7 99.8 99.9 100.0"},
		{0, 1, 9, "0 20 40 60 80 100"},
		{0.72, 0.72, 5, "71.5 72.0 72.5"},
	} {
		s := newScale(test.low, test.high, 1, 0, 100, test.most)
		var labels []string
		for _, x := range s.ticks() {
			labels = append(labels, strings.TrimSuffix(s.label(x), "\u00a0%"))
		}
		if got := strings.Join(labels, " "); got != test.want {
			t.Errorf("from %v to %v: %s, want %s", test.low, test.high, got, test.want)
		}
		if !s.holds(test.low) || !s.holds(test.high) || len(labels) > test.most+1 {
			t.Errorf("from %v to %v: the axis is %v to %v", test.low, test.high, s.low, s.high)
		}
	}
}

// whole fails where a text is no well-formed XML.
func whole(t testing.TB, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v\n%.2000s", err, text)
		}
	}
}

// Everything that is drawn lies in the picture, at the place that its numbers say.
func TestPicture(t *testing.T) {
	c := curve("net", false)
	text := written(t, SVG, c)
	whole(t, text)
	for _, want := range []string{"chosen: ", "net.onnx: what fewer multiply-adds cost", "prefers-color-scheme:dark", "500 images of net", "126.6"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture lacks %s", want)
		}
	}
	for _, f := range regexp.MustCompile(` (?:x|cx|width)="(-?[0-9.]+)"`).FindAllStringSubmatch(text, -1) {
		if x, err := strconv.ParseFloat(f[1], 64); err != nil || x < 0 || x > 800 {
			t.Errorf("something lies outside: %s", f[0])
		}
	}
	for _, s := range []size{alone, wide, narrow} {
		p := newChart(c, s)
		p.draw()
		if len(p.marks)+p.below != 25 {
			t.Errorf("%d points are shown, %d counted as below, of 25", len(p.marks), p.below)
		}
		for i, m := range p.marks {
			if i > 0 && m.x > p.marks[i-1].x {
				t.Errorf("point %d costs less and stands right of one that costs more", m.number)
			}
		}
		first, last := p.marks[0], p.marks[len(p.marks)-1]
		perShare := (first.x - last.x) / (1 - p.madds(&last.Point))
		for _, m := range p.marks {
			if want := first.x - perShare*(1-p.madds(&m.Point)); math.Abs(m.x-want) > 1e-6 {
				t.Errorf("point %d is at %v, want %v", m.number, m.x, want)
			}
		}
	}
}

func TestPageStandsAlone(t *testing.T) {
	for _, labels := range []bool{false, true} {
		c := curve(hostile, labels)
		for _, f := range []Format{SVG, HTML} {
			text := written(t, f, c)
			for _, pattern := range []string{`(?i)<script`, `(?i)<img`, `(?i)<link`, `(?i)<[^>"]*("[^"]*"[^>"]*)*\son[a-z]+\s*=`, `(?i)<[^>"]*("[^"]*"[^>"]*)*\ssrc\s*=`, `(?i)href="[^#]`, `(?i)url\(`, `@import`, `#ZgotmplZ`, `[\x00-\x08\x0b-\x1f]`, "\u202e"} {
				if found := regexp.MustCompile(pattern).FindString(text); found != "" {
					t.Errorf("format %d holds %q", f, found)
				}
			}
			for _, address := range regexp.MustCompile(`https?://[^"' <]+`).FindAllString(text, -1) {
				if address != "http://www.w3.org/2000/svg" { // the name of a namespace; nothing is fetched
					t.Errorf("format %d names %s", f, address)
				}
			}
			if !strings.Contains(text, "&lt;script&gt;") {
				t.Errorf("format %d: hostile names are missing", f)
			}
			if again := written(t, f, c); again != text {
				t.Errorf("format %d: the same curve gives other bytes", f)
			}
		}
	}
}

// All points can be reached and say what was done; the table has all.
func TestPageTellsOfAllPoints(t *testing.T) {
	text := written(t, HTML, curve("net", true))
	figures := regexp.MustCompile(`(?s)<figure.*?</figure>`).FindAllString(text, -1)
	if len(figures) != 2 {
		t.Fatalf("%d figures, want those of wide and narrow windows", len(figures))
	}
	for _, f := range figures {
		if n := strings.Count(f, `tabindex="0"`); n != 25 {
			t.Errorf("%d points can be reached by keyboard, want 25", n)
		}
		if n := strings.Count(f, "<span>net: node 1: conv_3x3 from 0 -&gt; null</span>"); n != 24 {
			t.Errorf("%d points tell of their moves, want 24", n)
		}
		whole(t, regexp.MustCompile(`(?s)<svg.*?</svg>`).FindString(f))
	}
	if n := strings.Count(text, `<th scope="row"`); n != 25 {
		t.Errorf("the tables have %d rows, want 25", n)
	}
	last := 0
	for _, h := range regexp.MustCompile(`<h([1-6])`).FindAllStringSubmatch(text, -1) {
		level, _ := strconv.Atoi(h[1])
		if level > last+1 {
			t.Errorf("a heading of level %d follows one of level %d", level, last)
		}
		last = level
	}
	for _, by := range regexp.MustCompile(`aria-labelledby="([^"]*)"|href="#([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if n := strings.Count(text, fmt.Sprintf(` id="%s"`, by[1]+by[2])); n != 1 {
			t.Errorf("%d elements have the id %s", n, by[1]+by[2])
		}
	}
}

// What is odd about a curve breaks nothing.
func TestOddCurves(t *testing.T) {
	none := &Curve{}
	lone := curve("net", false)
	lone.Points, lone.Rivals, lone.Input.Chosen = nil, nil, true
	worse := curve("net", true)
	for i := range worse.Points {
		worse.Points[i].Accuracy.Count, worse.Points[i].Loss = 0, math.NaN()
	}
	unlabelled := curve("net", true)
	unlabelled.Points[3].Accuracy = nil
	dear := curve("net", false)
	dear.Points[0].Cost.MAdds *= 3
	endless := curve("net", false)
	endless.Points[0].Loss = math.Inf(1)
	endless.Points[1].Cost = compress.Cost{MAdds: math.MaxInt64, Params: math.MaxInt64, Memory: math.MinInt64, Latency: math.MaxInt64}
	for name, c := range map[string]*Curve{"none": none, "lone": lone, "worse": worse, "unlabelled": unlabelled, "dear": dear, "endless": endless, "long": curve(strings.Repeat("long", 5000), true)} {
		text := written(t, SVG, c)
		whole(t, text)
		for _, bad := range []string{"NaN", "Inf"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: the picture says %s", name, bad)
			}
		}
		if text = written(t, HTML, c); len(text) > 1<<20 {
			t.Errorf("%s: the page has %d bytes", name, len(text))
		}
		if _, err := csv.NewReader(strings.NewReader(written(t, CSV, c))).ReadAll(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := written(t, HTML, lone); !strings.Contains(text, "nothing was changed") {
		t.Error("the page does not say that nothing was changed")
	}
}

func TestWriterFails(t *testing.T) {
	for _, f := range []Format{CSV, SVG, HTML} {
		if err := Write(full{}, f, curve("net", true)); !errors.Is(err, errFull) {
			t.Errorf("format %d: %v", f, err)
		}
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func FuzzWrite(f *testing.F) {
	f.Add(hostile, int64(5), 3, 10, 0.5)
	f.Add("net", int64(math.MaxInt64), 0, 0, math.NaN())
	f.Add("=cmd", int64(0), 10, 10, math.Inf(1))
	f.Add("\ufffe\uffff]]>", int64(126_642_000), 1, 1, -1.0)
	f.Fuzz(func(t *testing.T, name string, madds int64, right, of int, loss float64) {
		if madds < 0 || right < 0 || of < right {
			return // not what is counted
		}
		c := curve(name, right%2 == 0)
		p := &c.Points[5]
		p.Cost.MAdds, p.Loss, p.Agreement = madds, loss, measure.Share{Count: right, Of: of}
		whole(t, written(t, SVG, c))
		page := written(t, HTML, c)
		if strings.Contains(page, "<script") || strings.Contains(page, "<img") {
			t.Fatal("the page holds elements of strangers")
		}
		lines, err := csv.NewReader(strings.NewReader(written(t, CSV, c))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines[1:] {
			if len(line) != len(columns) {
				t.Fatalf("%d fields", len(line))
			}
		}
	})
}

// Texts have a contrast of 4.5 or more to what they stand on, and signs one of 3
// (WCAG 2.2, 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	var schemes []map[string]string
	for _, scheme := range regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(text, -1) {
		colours := map[string]string{}
		for _, c := range regexp.MustCompile(`--([a-z]+): #([0-9a-f]+)`).FindAllStringSubmatch(scheme[1], -1) {
			colours[c[1]] = c[2]
		}
		schemes = append(schemes, colours)
	}
	if len(schemes) != 3 {
		t.Fatalf("%d sets of colours, want those of light, dark and print", len(schemes))
	}
	hold := func(name, ink, ground string, least float64) {
		t.Helper()
		x, y := luminance(t, ink), luminance(t, ground)
		if ratio := (max(x, y) + 0.05) / (min(x, y) + 0.05); ratio < least {
			t.Errorf("%s: %s on %s: contrast %.2f, want %v", name, ink, ground, ratio, least)
		}
	}
	for _, colours := range schemes {
		for _, ink := range []string{"ink", "soft", "mark"} {
			hold(ink, colours[ink], colours["page"], 4.5)
			hold(ink, colours[ink], colours["card"], 4.5)
		}
	}
	light, dark, _ := strings.Cut(style, "@media")
	for _, scheme := range []string{light, dark} {
		ground := regexp.MustCompile(`\.bg\{fill:#([0-9a-f]+)`).FindStringSubmatch(scheme)[1]
		for class, least := range map[string]float64{"ink": 4.5, "dim": 4.5, "front": 3, "dot": 3, "other": 3, "chosen": 3, "ring": 3, "input": 3, "r0": 3, "r1": 3, "r2": 3, "axis": 3} {
			rule := regexp.MustCompile(`\.` + class + `\{([^}]*)\}`).FindStringSubmatch(scheme)
			if rule == nil {
				t.Errorf("no rule for %s", class)
				continue
			}
			property := "fill"
			if slices.Contains([]string{"front", "other", "ring", "r0", "r1", "r2", "axis"}, class) {
				property = "stroke"
			}
			hold(class, regexp.MustCompile(property + `:#([0-9a-f]+)`).FindStringSubmatch(rule[1])[1], ground, least)
		}
	}
}

// luminance is the relative luminance of a colour (WCAG 2.2).
func luminance(t *testing.T, hex string) float64 {
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		x := float64(n) / 255
		if x <= 0.04045 {
			x /= 12.92
		} else {
			x = math.Pow((x+0.055)/1.055, 2.4)
		}
		sum += weight * x
	}
	return sum
}

// No window is so narrow that the page itself has to be moved sideways, with
// none or any of the points focused; and what a focused point tells lies in the window.
func TestWidths(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not there")
	}
	if testing.Short() {
		t.Skip("starts a browser")
	}
	dir := t.TempDir()
	page := base64.StdEncoding.EncodeToString([]byte(written(t, HTML, curve(hostile+strings.Repeat("long", 200), true))))
	for _, width := range []int{320, 375, 641, 768, 1440} {
		frame := filepath.Join(dir, "frame.html")
		script := fmt.Sprintf(`<body><iframe width="%d" height="900" style="border:0"></iframe><script>
const f = document.querySelector("iframe")
f.srcdoc = new TextDecoder().decode(Uint8Array.from(atob("%s"), c => c.charCodeAt(0)))
f.onload = () => {
  const d = f.contentDocument, over = () => d.documentElement.scrollWidth - d.documentElement.clientWidth
  let most = over(), out = 0, seen = 0
  for (const s of d.querySelectorAll(".spot")) {
    s.focus()
    const r = s.querySelector(".tip").getBoundingClientRect()
    if (r.width === 0) continue
    seen++
    most = Math.max(most, over())
    if (r.left < 0 || r.right > f.clientWidth) out++
  }
  document.body.textContent = "overflow " + most + " seen " + seen + " out " + out
}
</script>`, width, page)
		if err := os.WriteFile(frame, []byte(script), 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+dir, "--virtual-time-budget=5000", "--dump-dom", "file://"+frame).Output()
		if err != nil {
			t.Skipf("chromium does not run here: %v", err)
		}
		found := regexp.MustCompile(`overflow (-?\d+) seen (\d+) out (\d+)`).FindSubmatch(out[bytes.LastIndex(out, []byte("<body>")):])
		if found == nil {
			t.Skipf("chromium shows no page: %.200s", out)
		}
		if string(found[1]) != "0" || string(found[2]) != "25" || string(found[3]) != "0" {
			t.Errorf("in a window of %d pixels: %s", width, found[0])
		}
	}
}
