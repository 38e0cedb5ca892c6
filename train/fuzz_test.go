package train

import (
	"bytes"
	"strings"
	"testing"
)

// No table, however broken, does more than fail with an error that names it.
func FuzzReadTable(f *testing.F) {
	header := strings.Join(columns201[:], ",")
	whole := madeUpCSV()
	f.Add(whole[:4000])
	f.Add([]byte(""))
	f.Add([]byte(header))
	f.Add([]byte(header + "\n1,2,3,|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,0\n"))
	f.Add([]byte(header + "\n1,2,3,|none~0|+|none~0,0\n"))
	f.Add([]byte(header + "\nNaN,1e999,-0,\"|\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := ReadTable("x.csv", bytes.NewReader(data))
		if (table == nil) == (err == nil) {
			t.Fatalf("table %v, error %v", table, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "x.csv") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}
