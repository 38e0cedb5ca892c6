package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/natonnx/natonnx/onnxgraph"
	"github.com/natonnx/natonnx/train/compress"
)

// A stamp is what natonnx noted in a model that it wrote: the entries of its
// metadata_props under natonnx., without that prefix, in the file's order.
type stamp []onnxgraph.Property

const stampPrefix = "natonnx."

// stampOf returns nil where there is none. What a policy file says of itself
// is no stamp.
func stampOf(m *onnxgraph.Model) (s stamp) {
	for _, p := range m.Metadata {
		if key, ok := strings.CutPrefix(p.Key, stampPrefix); ok && !strings.HasPrefix(key, "policy.") {
			s = append(s, onnxgraph.Property{Key: key, Value: p.Value})
		}
	}
	return s
}

// isPolicy reports whether a model is a policy's file.
func isPolicy(m *onnxgraph.Model) bool {
	return slices.ContainsFunc(m.Metadata, func(p onnxgraph.Property) bool { return p.Key == "natonnx.policy.format" })
}

// get returns the value of a key. Of several the last one counts; "": there is none.
func (s stamp) get(key string) string {
	for _, p := range slices.Backward(s) {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// structured are the keys whose values are JSON.
var structured = []string{"moves", "recovery", "data", "measures"}

// A stampedMove is a move as it is noted; see moveFact. What is gone was not made
// up for where Recovery is empty.
type stampedMove struct{ compress.Step }

// moves reads the moves that are noted.
func (s stamp) moves() (list []stampedMove, err error) {
	text := s.get("moves")
	if text == "" {
		return nil, errors.New("there are none")
	}
	if _, err := readDocument(text); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, errors.New("is no list of moves")
	}
	if len(list) == 0 {
		return nil, errors.New("there are none")
	}
	for i, m := range list {
		if m.Cell == "" || m.From == "" || m.To == "" {
			return nil, fmt.Errorf("entry %d is no move: want cell, node, slot, from and to", i)
		}
	}
	return list, nil
}

// deepestNoted is how many levels of lists and objects are read.
const deepestNoted = 32

// A document is JSON: a string, json.Number, bool, nil, []document or an object,
// whose members keep their order.
type document any

type object []member

type member struct {
	key   string
	value document
}

// member returns a member's value, or nil.
func (o object) member(key string) document {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

func readDocument(text string) (document, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := readValue(d, deepestNoted)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows")
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	if err != nil {
		return nil, fmt.Errorf("is no JSON: %w", err)
	}
	return v, nil
}

func readValue(d *json.Decoder, depth int) (document, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == 0 {
		return nil, fmt.Errorf("it is nested deeper than %d levels", deepestNoted)
	}
	list, members := []document{}, object{}
	for d.More() {
		var key string
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			key, _ = token.(string) // JSON has no other keys
		}
		v, err := readValue(d, depth-1)
		if err != nil {
			return nil, err
		}
		if open == '{' {
			members = append(members, member{key, v})
		} else {
			list = append(list, v)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if open == '{' {
		return members, nil
	}
	return list, nil
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := e.Encode(m.key); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := e.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
