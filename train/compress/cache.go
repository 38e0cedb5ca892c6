package compress

import (
	"fmt"
	"sync"

	"github.com/natonnx/natonnx/train/refit"
)

// cacheBytes bounds what is remembered of earlier candidates.
const cacheBytes = 1 << 30

// A state is how far a candidate got: the value at a cut, and the fits before it.
type state struct {
	fits  []refit.Weights
	name  string
	value *refit.Value
}

// A cache remembers states by the choices before their cut. It changes how fast
// candidates are recovered, and nothing else.
type cache struct {
	mutex       sync.Mutex
	states      map[string]*state
	order       []string // from the least recently used
	bytes, most int
}

func newCache(most int) *cache { return &cache{states: map[string]*state{}, most: most} }

func (c *cache) get(key string) *state {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	s := c.states[key]
	if s != nil {
		c.touch(key)
	}
	return s
}

func (c *cache) put(key string, s *state) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.states[key] != nil {
		return
	}
	c.states[key] = s
	c.order = append(c.order, key)
	c.bytes += 4 * len(s.value.Data)
	for c.bytes > c.most {
		c.bytes -= 4 * len(c.states[c.order[0]].value.Data)
		delete(c.states, c.order[0])
		c.order = c.order[1:]
	}
}

// touch makes a key the most recently used one.
func (c *cache) touch(key string) {
	for i, k := range c.order {
		if k == key {
			c.order = append(append(c.order[:i:i], c.order[i+1:]...), key)
			return
		}
	}
}

// keys names, for each cut, the choices before it.
func keys(cuts int, choices []choice) []string {
	all := make([]string, cuts)
	for i := range all {
		key := fmt.Sprint(i)
		for _, c := range choices {
			if c.site.from < i {
				key += fmt.Sprintf(" %d:%d", c.site.from, c.number)
			}
		}
		all[i] = key
	}
	return all
}
