package page

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/natonnx/natonnx/cellmap"
	"github.com/natonnx/natonnx/fixtures"
	"github.com/natonnx/natonnx/fleet/diff"
	"github.com/natonnx/natonnx/onnxgraph"
)

const hostile = `<script>alert("x")</script><img src=x onerror=alert(1)>`

// rewritten returns the diff of a network and one in which cells, weights and
// the interface are others, with hostile and long names.
func rewritten(t testing.TB) *diff.Diff {
	t.Helper()
	var o fixtures.Options
	o.Width, o.FoldBN = 0.25, true
	m, err := fixtures.Build("resnet14", o)
	if err != nil {
		t.Fatal(err)
	}
	cells := cellmap.Lift(m)
	var moves []cellmap.Move
	for _, c := range cells.Cells {
		for slot := range 2 {
			move := cellmap.Move{Cell: c, Edge: cellmap.EdgeID{Node: 3, Slot: slot}, To: cellmap.Skip}
			if move.Old().Op != cellmap.Skip && cells.Allowed(move) == nil {
				moves = append(moves, move)
			}
		}
	}
	patch, err := cells.Lower(moves, cellmap.ZeroGate)
	if err != nil {
		t.Fatal(err)
	}
	patch.Metadata = []onnxgraph.Property{{Key: hostile, Value: strings.Repeat("long", 500)}, {Key: "javascript:alert(1)", Value: "`${x}`"}}
	patch.Add = append(patch.Add, onnxgraph.NewNode("Sigmoid", hostile, []string{m.Graph.Nodes[2].Inputs[0]}, []string{"new"}))
	patch.Rewire = append(patch.Rewire, onnxgraph.Rewire{Node: m.Graph.Nodes[2], Input: 0, To: "new"})
	after, err := m.Apply(patch)
	if err != nil {
		t.Fatal(err)
	}
	after.Path = hostile + ".onnx"
	d, err := diff.Compare(context.Background(), m, after, diff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func written(t testing.TB, d *diff.Diff, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, d, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func measured() Options {
	share := 0.91
	return Options{Version: "1", Measured: []Measurement{
		{What: "top-1 accuracy after", Value: "91.00 %", On: hostile, Share: &share, Low: 0.89, High: 0.93},
		{What: "distance of the outputs", Value: "relative 0.1", On: "8 probe inputs"},
	}}
}

func TestPageStandsAlone(t *testing.T) {
	text := written(t, rewritten(t), measured())
	for _, pattern := range []string{`(?i)<script`, `(?i)<img`, `(?i)<link`, `(?i)<[^>]*\son[a-z]+\s*=`, `(?i)<[^>]*\s(src|href)\s*=`, `(?i)url\(`, `@import`, `#ZgotmplZ`} {
		if found := regexp.MustCompile(pattern).FindString(text); found != "" {
			t.Errorf("the page holds %q", found)
		}
	}
	for _, address := range regexp.MustCompile(`https?://[^"' <]+`).FindAllString(text, -1) {
		if address != "http://www.w3.org/2000/svg" { // the name of a namespace; nothing is fetched
			t.Errorf("the page names %s", address)
		}
	}
	if !strings.Contains(text, "&lt;script&gt;") {
		t.Error("hostile names are missing")
	}
	if again := written(t, rewritten(t), measured()); again != text {
		t.Error("the same diff gives other bytes")
	}
}

func TestPageIsAccessible(t *testing.T) {
	text := written(t, rewritten(t), measured())
	last := 0
	for _, h := range regexp.MustCompile(`<h([1-6])`).FindAllStringSubmatch(text, -1) {
		level, _ := strconv.Atoi(h[1])
		if level > last+1 {
			t.Errorf("a heading of level %d follows one of level %d", level, last)
		}
		last = level
	}
	ids := map[string]int{}
	for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		ids[id[1]]++
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements have the id %s", n, id)
		}
	}
	for _, by := range regexp.MustCompile(`aria-labelledby="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if ids[by[1]] == 0 {
			t.Errorf("nothing has the id %s", by[1])
		}
	}
	for _, tag := range regexp.MustCompile(`<div class="scroll"[^>]*>`).FindAllString(text, -1) {
		if !strings.Contains(tag, `tabindex="0"`) || !strings.Contains(tag, "aria-labelledby") {
			t.Errorf("%s cannot be reached by keyboard, or has no name", tag)
		}
	}
	figures := regexp.MustCompile(`(?s)<figure.*?</figure>`).FindAllString(text, -1)
	if len(figures) < 2 {
		t.Errorf("%d figures, want before and after", len(figures))
	}
	for _, f := range figures {
		if !strings.Contains(f, `role="img"`) || !strings.Contains(f, "<title>") {
			t.Errorf("a picture has no name: %.200s", f)
		}
	}
	for _, table := range regexp.MustCompile(`(?s)<table>.*?</table>`).FindAllString(text, -1) {
		if !strings.Contains(table, `<th scope="col"`) {
			t.Errorf("a table has no header: %.200s", table)
		}
	}
}

// Texts have a contrast of 4.5 or more to what they stand on (WCAG 2.2, 1.4.3).
func TestContrast(t *testing.T) {
	schemes := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(text, -1)
	if len(schemes) != 3 {
		t.Fatalf("%d sets of colours, want those of light, dark and print", len(schemes))
	}
	for _, scheme := range schemes {
		colours := map[string]float64{}
		for _, c := range regexp.MustCompile(`--([a-z]+): #([0-9a-f]+)`).FindAllStringSubmatch(scheme[1], -1) {
			colours[c[1]] = luminance(t, c[2])
		}
		for _, ink := range []string{"ink", "soft", "added", "removed", "changed"} {
			for _, ground := range []string{"page", "card"} {
				x, y := colours[ink], colours[ground]
				if ratio := (max(x, y) + 0.05) / (min(x, y) + 0.05); ratio < 4.5 {
					t.Errorf("%s on %s: contrast %.2f, want 4.5: %s", ink, ground, ratio, scheme[1])
				}
			}
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

// No window is so narrow that the page itself has to be moved sideways.
func TestWidths(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not there")
	}
	if testing.Short() {
		t.Skip("starts a browser")
	}
	dir := t.TempDir()
	page := base64.StdEncoding.EncodeToString([]byte(written(t, rewritten(t), measured())))
	for _, width := range []int{320, 375, 768, 1440} {
		frame := filepath.Join(dir, "frame.html")
		script := fmt.Sprintf(`<body><iframe width="%d" height="900" style="border:0"></iframe><script>
const f = document.querySelector("iframe")
f.srcdoc = new TextDecoder().decode(Uint8Array.from(atob("%s"), c => c.charCodeAt(0)))
f.onload = () => document.body.textContent = "overflow " + (f.contentDocument.documentElement.scrollWidth - f.clientWidth)
</script>`, width, page)
		if err := os.WriteFile(frame, []byte(script), 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+dir, "--virtual-time-budget=5000", "--dump-dom", "file://"+frame).Output()
		if err != nil {
			t.Skipf("chromium does not run here: %v", err)
		}
		found := regexp.MustCompile(`overflow (-?\d+)`).FindSubmatch(out[bytes.LastIndex(out, []byte("<body>")):])
		if found == nil {
			t.Skipf("chromium shows no page: %.200s", out)
		}
		if found[1][0] != '-' && string(found[1]) != "0" { // less than 0 is the width of the scroll bar
			t.Errorf("in a window of %d pixels the page is %s pixels too wide", width, found[1])
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{short(999), "999"}, {short(26657408), "26.66\u00a0M"}, {short(175258), "175.3\u00a0k"}, {short(1000), "1.000\u00a0k"},
		{size(719142), "719.1\u00a0kB"},
		{clip(strings.Repeat("é", 302)), strings.Repeat("é", 300) + "…"}, {clip("short"), "short"},
		{dims(nil), "scalar"}, {dims([]int64{1, 3}), "1×3"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestNothingDiffers(t *testing.T) {
	m, err := fixtures.Build("resnet14", fixtures.Options{Width: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	d, err := diff.Compare(context.Background(), m, m, diff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	page := written(t, d, Options{Version: "1"})
	if !strings.Contains(page, "the same, byte for byte") || strings.Contains(page, `id="moves"`) || !strings.Contains(page, "accuracy and outputs were not measured") {
		t.Errorf("page: %.3000s", page)
	}
}
