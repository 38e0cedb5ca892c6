package draw

import (
	"fmt"
	"io"
)

// htmlHead is all before the title; the page needs no other file.
const htmlHead = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>
body { margin: 0; padding: 0.6rem; font: 15px/1.4 Helvetica, Arial, sans-serif; color: #1f2328; background: #f3f5f7; }
h1 { font-size: 1.3rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: 0; color: #59636e; font-size: 0.85rem; overflow-wrap: anywhere; }
main { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
section, footer { background: #fff; color: #1f2328; border: 1px solid #d1d9e0; border-radius: 8px; padding: 0.9rem; box-sizing: border-box; max-width: 100%%; }
section > div { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
figure { margin: 0.7rem 0 0; max-width: 100%%; overflow-x: auto; }
figcaption { font-size: 0.8rem; color: #59636e; position: sticky; left: 0; }
svg { display: block; max-width: 100%%; height: auto; }
footer { margin-top: 1rem; display: flex; flex-wrap: wrap; gap: 0.4rem 1.4rem; color: #59636e; font-size: 0.85rem; }
footer span { display: flex; align-items: center; gap: 0.5rem; }
@media (prefers-color-scheme: dark) { body { background: #0d1117; } h1 { color: #e6edf3; } }
@media print { body { background: #fff; padding: 0; } h1 { color: #1f2328; } section { break-inside: avoid; } }
</style>
</head>
<body>
`

// Widths of an HTML page, in pixels.
const (
	phoneWidth = 340.0 // for a picture on a phone
	leastScale = 0.58  // below that, texts are too small and a picture scrolls
)

// HTML draws the panels as a page for browsers that needs no other file and
// no network. Before and after stand side by side where the window is wide enough.
func HTML(w io.Writer, title string, panels []Panel) error {
	if err := checkPanels(panels); err != nil {
		return err
	}
	var b svg
	title = escape(clean(title))
	fmt.Fprintf(&b, htmlHead, title)
	if title != "" {
		b.tag("<h1>%s</h1>", title)
	}
	b.WriteString("<main>\n")
	for _, p := range panels {
		b.section(p)
	}
	b.WriteString("</main>\n<footer>\n")
	for _, f := range Legend(panels) {
		b.WriteString("<span>")
		b.Write(f.SVG)
		b.tag("%s</span>", f.Caption)
	}
	b.WriteString("</footer>\n</body>\n</html>\n")
	_, err := w.Write(b.Bytes())
	return err
}

func (b *svg) section(p Panel) {
	b.WriteString("<section>\n")
	if p.Title != "" {
		b.tag("<h2>%s</h2>", escape(clean(p.Title)))
	}
	if p.Subtitle != "" {
		b.tag("<p>%s</p>", escape(clean(p.Subtitle)))
	}
	b.WriteString("<div>\n")
	for _, f := range p.figures() {
		b.WriteString("<figure>\n")
		if f.Caption != "" {
			b.tag("<figcaption><b>%s</b>%s</figcaption>", f.Caption, f.Note)
		}
		b.Write(f.SVG)
		b.WriteString("</figure>\n")
	}
	b.WriteString("</div>\n</section>\n")
}

// A Figure is a picture for a page of one's own. The caption is plain text.
type Figure struct {
	Caption string  // "Before", "After", "Unchanged", or what a sample of the legend means; may be empty
	Note    string  // belongs behind the caption
	SVG     []byte  // an svg element without a background
	Width   float64 // in pixels; it stays legible at 0.58 of that
}

// Figures draws the panel in one picture, or in two, before and after, that
// are laid out alike.
func (p Panel) Figures() ([]Figure, error) {
	if err := checkPanels([]Panel{p}); err != nil {
		return nil, err
	}
	return p.figures(), nil
}

// Legend explains what the panels show, and nothing else.
func Legend(panels []Panel) (list []Figure) {
	for _, i := range legendOf(panels).items {
		var b svg
		b.open(i.sampleWidth(), legendRow, "")
		i.sample(&b)
		b.WriteString("</svg>")
		list = append(list, Figure{Caption: i.text, SVG: b.Bytes(), Width: i.sampleWidth()})
	}
	return list
}

func (p Panel) figures() (list []Figure) {
	views := p.views()
	for i, c := range narrow(views) {
		var b svg
		b.tag(`<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" style="min-width:%spx" role="img" font-family="Helvetica, Arial, sans-serif">`,
			c.w, c.h, c.w, c.h, c.w*leastScale)
		b.tag("<title>%s</title>", escape(clean(p.Title+" "+views[i].caption)))
		b.cell(views[i], c)
		b.WriteString("</svg>\n")
		list = append(list, Figure{views[i].caption, views[i].note, b.Bytes(), c.w})
	}
	return list
}

// narrow lays out views in the direction that suits a phone: to the right if
// that fits or is no wider than down.
func narrow(views []view) []chart {
	right := charts(views, false)
	if right[0].w*leastScale <= phoneWidth {
		return right
	}
	if down := charts(views, true); down[0].w < right[0].w {
		return down
	}
	return right
}
