package corpus

import (
	"encoding/json"
	"os"
	"testing"
)

// A Tuple is an edge of a published genotype: ('conv_3x3', 2, 3).
type Tuple struct {
	Op       string
	From, To int
}

// UnmarshalJSON reads the tuple as a list.
func (t *Tuple) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&t.Op, &t.From, &t.To})
}

// A GenotypeTuples is a published genotype as its authors' tuples.
type GenotypeTuples struct {
	Normal, Reduce []Tuple
	NormalConcat   []int `json:"normal_concat"`
	ReduceConcat   []int `json:"reduce_concat"`
}

// AllGenotypes reads all published genotypes, where they are.
func AllGenotypes(t testing.TB) map[string]GenotypeTuples {
	t.Helper()
	data, err := os.ReadFile(Need(t, "design", "genotypes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]GenotypeTuples
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Genotypes holds some of the authors' genotypes as Python prints them: the
// repr of collections.namedtuple("Genotype", "normal normal_concat reduce reduce_concat").
var Genotypes = map[string]string{
	"ResBlock":     `Genotype(normal=[('null', 0, 2), ('skip_connect', 1, 2), ('null', 0, 3), ('conv_3x3', 2, 3), ('null', 0, 4), ('conv_3x3', 3, 4), ('skip_connect', 2, 5), ('skip_connect', 4, 5)], normal_concat=[5], reduce=[('null', 0, 2), ('skip_connect', 1, 2), ('null', 0, 3), ('conv_3x3', 2, 3), ('null', 0, 4), ('conv_3x3', 3, 4), ('skip_connect', 2, 5), ('skip_connect', 4, 5)], reduce_concat=[5])`,
	"NAT_ResBlock": `Genotype(normal=[('null', 0, 2), ('skip_connect', 1, 2), ('skip_connect', 0, 3), ('conv_3x3', 2, 3), ('skip_connect', 0, 4), ('conv_3x3', 3, 4), ('skip_connect', 2, 5), ('skip_connect', 4, 5)], normal_concat=[5], reduce=[('null', 0, 2), ('skip_connect', 1, 2), ('skip_connect', 0, 3), ('conv_3x3', 2, 3), ('skip_connect', 0, 4), ('conv_3x3', 3, 4), ('skip_connect', 2, 5), ('skip_connect', 4, 5)], reduce_concat=[5])`,
	"NAT_VGG":      `Genotype(normal=[('skip_connect', 0, 2), ('skip_connect', 1, 2), ('null', 0, 3), ('conv_3x3', 2, 3), ('null', 0, 4), ('conv_3x3', 3, 4), ('skip_connect', 0, 5), ('skip_connect', 4, 5)], normal_concat=[5], reduce=[('skip_connect', 0, 2), ('skip_connect', 1, 2), ('null', 0, 3), ('conv_3x3', 2, 3), ('null', 0, 4), ('conv_3x3', 3, 4), ('skip_connect', 0, 5), ('skip_connect', 4, 5)], reduce_concat=[5])`,
	"R1":           `Genotype(normal=[('dil_conv_5x5', 1, 2), ('dil_conv_5x5', 1, 2), ('dil_conv_5x5', 1, 3), ('dil_conv_5x5', 2, 3), ('sep_conv_3x3', 0, 4), ('sep_conv_3x3', 3, 4), ('skip_connect', 1, 5), ('max_pool_3x3', 0, 5)], normal_concat=[2, 3, 4, 5], reduce=[('sep_conv_5x5', 0, 2), ('max_pool_3x3', 0, 2), ('skip_connect', 0, 3), ('sep_conv_3x3', 0, 3), ('conv_3x3', 0, 4), ('max_pool_3x3', 2, 4), ('avg_pool_3x3', 2, 5), ('conv_3x3', 3, 5)], reduce_concat=[2, 3, 4, 5])`,
	"Mobilenetv2":  `Genotype(normal=[('null', 0, 2), ('conv_1x1', 1, 2), ('null', 0, 3), ('sep_conv_3x3', 2, 3), ('null', 0, 4), ('conv_1x1', 3, 4), ('skip_connect', 1, 5), ('skip_connect', 4, 5)], normal_concat=[5], reduce=[('null', 0, 2), ('conv_1x1', 1, 2), ('null', 0, 3), ('sep_conv_3x3', 2, 3), ('null', 0, 4), ('conv_1x1', 3, 4), ('null', 0, 5), ('skip_connect', 4, 5)], reduce_concat=[5])`,
	"NAONet":       `Genotype(normal=[('conv_3x3', 0, 2), ('avg_pool_5x5', 1, 2), ('conv_3x3', 1, 3), ('conv_1x3_3x1', 2, 3), ('conv_1x1', 0, 4), ('conv_3x3', 1, 4), ('conv_1x3_3x1', 0, 5), ('conv_3x3', 4, 5), ('conv_3x3', 0, 6), ('skip_connect', 1, 6)], normal_concat=[3, 5, 6], reduce=[('conv_3x3', 0, 2), ('avg_pool_2x2', 1, 2), ('conv_1x1', 0, 3), ('avg_pool_3x3', 0, 3), ('max_pool_2x2', 0, 4), ('conv_1x7_7x1', 1, 4), ('avg_pool_3x3', 0, 5), ('conv_1x1', 2, 5), ('conv_3x3', 0, 6), ('max_pool_3x3', 1, 6)], reduce_concat=[3, 4, 5, 6])`,
	"NAT_ENAS":     `Genotype(normal=[('sep_conv_3x3', 1, 2), ('skip_connect', 1, 2), ('skip_connect', 0, 3), ('sep_conv_5x5', 1, 3), ('null', 0, 4), ('sep_conv_3x3', 1, 4), ('sep_conv_3x3', 0, 5), ('avg_pool_3x3', 1, 5), ('avg_pool_3x3', 0, 6), ('sep_conv_5x5', 1, 6)], normal_concat=[2, 3, 4, 5, 6], reduce=[('sep_conv_5x5', 0, 2), ('avg_pool_3x3', 1, 2), ('sep_conv_3x3', 1, 3), ('avg_pool_3x3', 1, 3), ('avg_pool_3x3', 1, 4), ('sep_conv_3x3', 1, 4), ('null', 1, 5), ('sep_conv_5x5', 4, 5), ('sep_conv_5x5', 0, 6), ('sep_conv_3x3', 5, 6)], reduce_concat=[2, 3, 6])`,
}
