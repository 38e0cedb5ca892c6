package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// Shapes are data that come with natonnx: pictures that it draws. Each shows a
// shape or a texture, in random colours, at a random place and angle, under
// noise and smaller things that lie about. Paths that begin with this name them.
const Shapes = "builtin:shapes/"

// The parts of the built-in data, and how many pictures each has. Every picture
// is drawn from the name of its part and its number alone.
var shapeParts = map[string]int{"train": 10000, "test": 2000}

var shapeClasses = []struct {
	name string
	// at says whether a point is in the shape, which is about as large as the unit
	// circle, or in the texture, which has a period of about 1.
	at      func(x, y float64) bool
	texture bool
}{
	{"disc", func(x, y float64) bool { return x*x+y*y < 0.8 }, false},
	{"square", func(x, y float64) bool { return max(math.Abs(x), math.Abs(y)) < 0.8 }, false},
	{"triangle", func(x, y float64) bool { return y > -0.5 && y+1.75*math.Abs(x) < 1 }, false},
	{"ring", func(x, y float64) bool { r := x*x + y*y; return r > 0.35 && r < 0.9 }, false},
	{"cross", func(x, y float64) bool {
		x, y = math.Abs(x), math.Abs(y)
		return min(x, y) < 0.3 && max(x, y) < 1
	}, false},
	{"star", func(x, y float64) bool { return inStar(x, y) }, false},
	{"stripes", func(_, y float64) bool { return phase(y) < 0.5 }, true},
	{"checkers", func(x, y float64) bool { return (phase(x/2) < 0.5) != (phase(y/2) < 0.5) }, true},
	{"dots", func(x, y float64) bool { x, y = phase(x)-0.5, phase(y)-0.5; return x*x+y*y < 0.1 }, true},
	{"waves", func(x, y float64) bool { return phase(y+0.35*math.Sin(2.5*x)) < 0.5 }, true},
}

// phase is how far x is between two whole numbers.
func phase(x float64) float64 { return x - math.Floor(x) }

// inStar tells the points of a star of five rays: within the lines from a ray's
// tip to the two notches beside it.
func inStar(x, y float64) bool {
	const ray = 2 * math.Pi / 5
	angle := math.Abs(math.Mod(math.Atan2(y, x)+2*math.Pi+ray/2, ray) - ray/2) // from the nearest tip
	r := math.Hypot(x, y)
	const tip, notch = 1.05, 0.42
	// The line from (tip, 0) to the notch at half a ray.
	nx, ny := notch*math.Cos(ray/2), notch*math.Sin(ray/2)
	px, py := r*math.Cos(angle), r*math.Sin(angle)
	return (nx-tip)*py-ny*(px-tip) > 0
}

const shapeSide = 32 // rows and columns of a picture

// shapes is a source of drawn pictures.
type shapes struct {
	part string
	n    int
}

func openShapes(path string) (source, error) {
	part := strings.TrimPrefix(path, Shapes)
	n, ok := shapeParts[part]
	if !ok {
		return nil, fmt.Errorf("%s: want %strain or %stest", path, Shapes, Shapes)
	}
	return shapes{part, n}, nil
}

func (s shapes) kind() string      { return "drawn shapes" }
func (s shapes) len() int          { return s.n }
func (s shapes) name(i int) string { return fmt.Sprintf("%s %d", s.part, i) }
func (s shapes) label(i int) int   { return i % len(shapeClasses) }
func (s shapes) channels() int     { return 3 }

func (s shapes) classes() (names []string) {
	for _, c := range shapeClasses {
		names = append(names, c.name)
	}
	return names
}

// stored draws picture i.
func (s shapes) stored(i int, buf []byte) ([]byte, error) {
	part := uint64(len(s.part)) // tells train from test
	return drawShape(rand.New(rand.NewPCG(part, uint64(i))), s.label(i), grow(buf, 3*shapeSide*shapeSide)), nil
}

func (s shapes) decode(stored []byte, into *picture) error {
	into.reset(Size{shapeSide, shapeSide}, 3)
	copy(into.pix, stored)
	return nil
}

type colour [3]float64

func randomColour(rng *rand.Rand) (c colour) {
	for i := range c {
		c[i] = 255 * rng.Float64()
	}
	return c
}

// unlike draws a colour that can be told from another.
func unlike(rng *rand.Rand, other colour) colour {
	for {
		c := randomColour(rng)
		if math.Abs(c[0]-other[0])+math.Abs(c[1]-other[1])+math.Abs(c[2]-other[2]) > 110 {
			return c
		}
	}
}

// A blob is a disc that lies on the picture.
type blob struct {
	x, y, r float64
	colour  colour
}

// drawShape draws a picture of a class, pixel by pixel of three bytes. Each pixel
// is the mean of four points, and noise.
func drawShape(rng *rand.Rand, class int, pix []byte) []byte {
	c := shapeClasses[class]
	ground := randomColour(rng)
	figure := unlike(rng, ground)
	fade := colour{60 * (rng.Float64() - 0.5), 60 * (rng.Float64() - 0.5), 60 * (rng.Float64() - 0.5)} // across the ground
	size := 6 + 7*rng.Float64()                                                                        // of the unit, in pixels
	if c.texture {
		size = 5 + 4*rng.Float64()
	}
	sin, cos := math.Sincos(2 * math.Pi * rng.Float64())
	middle := func() float64 { return shapeSide/2 + (rng.Float64()-0.5)*(shapeSide-1.6*size) }
	x0, y0 := middle(), middle()
	blobs := make([]blob, rng.IntN(4))
	for i := range blobs {
		blobs[i] = blob{shapeSide * rng.Float64(), shapeSide * rng.Float64(), 1 + 2.5*rng.Float64(), randomColour(rng)}
	}
	noise := 6 + 24*rng.Float64()
	at := func(x, y float64) colour {
		for _, b := range blobs {
			if math.Hypot(x-b.x, y-b.y) < b.r {
				return b.colour
			}
		}
		u, v := (x-x0)/size, (y-y0)/size
		if c.at(float64(cos*u)+float64(sin*v), float64(cos*v)-float64(sin*u)) { // rounded, so that all processors draw the same
			return figure
		}
		g := ground
		for k := range g {
			g[k] += float64(fade[k] * (x + y - shapeSide) / shapeSide)
		}
		return g
	}
	for p := range shapeSide * shapeSide {
		x, y := float64(p%shapeSide), float64(p/shapeSide)
		var sum colour
		for _, d := range [4][2]float64{{0.25, 0.25}, {0.75, 0.25}, {0.25, 0.75}, {0.75, 0.75}} {
			for k, v := range at(x+d[0], y+d[1]) {
				sum[k] += v / 4
			}
		}
		for k, v := range sum {
			pix[3*p+k] = byte(min(255, max(0, v+float64(noise*rng.NormFloat64()))))
		}
	}
	return pix
}
