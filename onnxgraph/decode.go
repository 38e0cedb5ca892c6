package onnxgraph

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// An entry is one field of the model or of the main graph, in file order: a
// byte range of the source, or, once changed, its new encoding.
type entry struct {
	num  protowire.Number
	at   span   // the whole field, tag included
	raw  []byte // the whole field, tag included, where it is new
	item any    // *Node, *Tensor or *Value; nil for fields that are only preserved
	name string // of a quantization annotation: its tensor; of a metadata property: its key
}

// decoder turns the wire format into a Model.
type decoder struct {
	scanner
	model *Model
}

// decode reads the structure of a model. Errors carry the field path but not the file.
func decode(src *source) (*Model, error) {
	m := &Model{src: src}
	d := &decoder{scanner: scanner{src: src, size: src.size}, model: m}
	if err := d.decodeModel(span{0, src.size}); err != nil {
		return nil, err
	}
	if m.Graph == nil {
		return nil, formatErrorf("graph", "missing: an ONNX model needs one")
	}
	return m, nil
}

func (d *decoder) decodeModel(all span) error {
	m := d.model
	return d.fields(all, func(f field) error {
		e := entry{num: f.num, at: f.whole()}
		err := d.spend(entryCost)
		if err != nil {
			return err
		}
		switch f.num {
		case modelIRVersion:
			err = within("ir_version", d.int(f, &m.IRVersion))
		case modelProducerName:
			err = within("producer_name", d.str(f, &m.Producer))
		case modelProducerVersion:
			err = within("producer_version", d.str(f, &m.ProducerVersion))
		case modelDomain:
			err = within("domain", d.str(f, &m.Domain))
		case modelVersion:
			err = within("model_version", d.int(f, &m.ModelVersion))
		case modelOpsetImport:
			var o Opset
			o, err = d.decodeOpset(f)
			m.Opsets = append(m.Opsets, o)
			err = within(fmt.Sprintf("opset_import[%d]", len(m.Opsets)-1), err)
		case modelMetadata:
			var p Property
			p, err = d.decodeProperty(f)
			m.Metadata, e.name = append(m.Metadata, p), p.Key
			err = within(fmt.Sprintf("metadata_props[%d]", len(m.Metadata)-1), err)
		case modelFunctions:
			var id FunctionID
			id, err = d.decodeFunction(f)
			m.Functions = append(m.Functions, id)
			err = within(fmt.Sprintf("functions[%d]", len(m.Functions)-1), err)
		case modelGraph:
			if m.Graph != nil {
				return formatErrorf("graph", "appears twice")
			}
			m.Graph, err = d.decodeGraph(f, true)
			err = within("graph", err)
		}
		m.entries = append(m.entries, e)
		return err
	})
}

// message visits the fields of a length-delimited field.
func (d *decoder) message(f field, visit func(field) error) error {
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	return d.fields(f.body, visit)
}

func (d *decoder) decodeOpset(f field) (o Opset, err error) {
	err = d.message(f, func(f field) error {
		switch f.num {
		case opsetDomain:
			return d.str(f, &o.Domain)
		case opsetVersion:
			return d.int(f, &o.Version)
		}
		return nil
	})
	return o, err
}

func (d *decoder) decodeProperty(f field) (p Property, err error) {
	err = d.message(f, func(f field) error {
		switch {
		case f.num == propertyKey:
			return d.str(f, &p.Key)
		case f.num == propertyValue && f.body.len() > maxName:
			p.Value = fmt.Sprintf("(%d bytes)", f.body.len())
		case f.num == propertyValue:
			return d.str(f, &p.Value)
		}
		return nil
	})
	return p, err
}

func (d *decoder) decodeFunction(f field) (id FunctionID, err error) {
	err = d.message(f, func(f field) error {
		switch f.num {
		case functionDomain:
			return d.str(f, &id.Domain)
		case functionName:
			return d.str(f, &id.Name)
		case functionOverload:
			return d.str(f, &id.Overload)
		}
		return nil
	})
	return id, err
}

// decodeGraph decodes a graph. Only the main graph keeps its entries: nothing
// else is ever edited.
func (d *decoder) decodeGraph(f field, main bool) (*Graph, error) {
	g := &Graph{}
	if err := d.spend(graphCost); err != nil {
		return g, err
	}
	err := d.message(f, func(f field) error {
		e := entry{num: f.num, at: f.whole()}
		err := d.spend(entryCost)
		if err != nil {
			return err
		}
		switch f.num {
		case graphName:
			err = within("name", d.str(f, &g.Name))
		case graphNode:
			var n *Node
			if n, err = d.decodeNode(f); err != nil {
				return within(nodePath(n, len(g.Nodes)), err)
			}
			n.Index = len(g.Nodes)
			g.Nodes, e.item = append(g.Nodes, n), n
		case graphInitializer:
			var t *Tensor
			if t, err = d.decodeTensor(f); err != nil {
				return within(tensorPath(t, len(g.Initializers)), err)
			}
			g.Initializers, e.item = append(g.Initializers, t), t
		case graphSparse:
			var t *Tensor
			t, err = d.decodeSparse(f)
			err = within(fmt.Sprintf("sparse_initializer[%d]", len(g.SparseInitializers)), err)
			g.SparseInitializers = append(g.SparseInitializers, t)
		case graphInput, graphOutput, graphValueInfo:
			var v *Value
			list, label := g.valueList(f.num)
			if v, err = d.decodeValue(f); err != nil {
				return within(fmt.Sprintf("%s[%d]%s", label, len(*list), quoted(v.Name)), err)
			}
			*list, e.item = append(*list, v), v
		case graphQuantization:
			e.name, err = d.decodeAnnotation(f)
			err = within("quantization_annotation", err)
		}
		if main {
			g.entries = append(g.entries, e)
		}
		return err
	})
	return g, err
}

func (g *Graph) valueList(num protowire.Number) (*[]*Value, string) {
	switch num {
	case graphInput:
		return &g.Inputs, "input"
	case graphOutput:
		return &g.Outputs, "output"
	}
	return &g.ValueInfo, "value_info"
}

// nodePath is the field path of a node that may be only partly decoded.
func nodePath(n *Node, i int) string {
	op := quote(n.OpType)
	return fmt.Sprintf("node[%d] (%s %s)", i, op[1:len(op)-1], quote(n.Name))
}

func tensorPath(t *Tensor, i int) string {
	return fmt.Sprintf("initializer[%d]%s", i, quoted(t.Name))
}

func quoted(name string) string {
	if name == "" {
		return ""
	}
	return " " + quote(name)
}

func (d *decoder) decodeAnnotation(f field) (tensor string, err error) {
	err = d.message(f, func(f field) error {
		if f.num == annotationTensor {
			return d.str(f, &tensor)
		}
		return nil
	})
	return tensor, err
}

func (d *decoder) decodeNode(f field) (*Node, error) {
	n := &Node{whole: f.whole(), at: f.body}
	if err := d.spend(nodeCost); err != nil {
		return n, err
	}
	err := d.message(f, func(f field) error {
		switch f.num {
		case nodeInput:
			return d.appendStr(f, "input", &n.Inputs)
		case nodeOutput:
			return d.appendStr(f, "output", &n.Outputs)
		case nodeName:
			return within("name", d.str(f, &n.Name))
		case nodeOpType:
			return within("op_type", d.str(f, &n.OpType))
		case nodeDomain:
			err := d.str(f, &n.Domain)
			if n.Domain == "ai.onnx" {
				n.Domain = ""
			}
			return within("domain", err)
		case nodeAttribute:
			a, err := d.decodeAttribute(f)
			if err != nil {
				return within(attributePath(a, len(n.Attributes)), err)
			}
			n.Attributes = append(n.Attributes, a)
		}
		return nil
	})
	for _, sub := range n.Subgraphs() {
		n.Captures = append(n.Captures, sub.free()...)
	}
	return n, err
}

func attributePath(a *Attribute, i int) string {
	return fmt.Sprintf("attribute[%d]%s", i, quoted(a.Name))
}

func (d *decoder) appendStr(f field, label string, into *[]string) error {
	var s string
	if err := d.str(f, &s); err != nil {
		return within(fmt.Sprintf("%s[%d]", label, len(*into)), err)
	}
	*into = append(*into, s)
	return nil
}

// free returns the names that a subgraph reads and does not define.
func (g *Graph) free() []string {
	defined := map[string]bool{"": true}
	for _, v := range g.Inputs {
		defined[v.Name] = true
	}
	for _, t := range g.Initializers {
		defined[t.Name] = true
	}
	for _, t := range g.SparseInitializers {
		defined[t.Name] = true
	}
	var out []string
	use := func(names []string) {
		for _, name := range names {
			if !defined[name] {
				defined[name] = true // report once
				out = append(out, name)
			}
		}
	}
	for _, n := range g.Nodes {
		use(n.Inputs)
		use(n.Captures)
		for _, o := range n.Outputs {
			defined[o] = true
		}
	}
	for _, v := range g.Outputs {
		use([]string{v.Name})
	}
	return out
}

func (d *decoder) decodeAttribute(f field) (*Attribute, error) {
	a := &Attribute{}
	if err := d.spend(attributeCost); err != nil {
		return a, err
	}
	var floats []uint32
	var f32 uint32
	err := d.message(f, func(f field) error {
		a.note(f)
		switch f.num {
		case attrName:
			return d.str(f, &a.Name)
		case attrRefName:
			return d.str(f, &a.RefAttr)
		case attrType:
			a.Type = AttributeType(f.varint)
			return f.want(protowire.VarintType)
		case attrF:
			f32 = uint32(f.varint)
			return f.want(protowire.Fixed32Type)
		case attrI:
			return d.int(f, &a.Int)
		case attrS:
			if f.body.len() > maxName {
				return nil // a long text is preserved, not decoded
			}
			b, err := d.bytes(f)
			if err != nil {
				return err
			}
			a.String = append([]byte{}, b...)
			return d.spend(len(b))
		case attrFloats:
			if f.body.len() > maxName {
				return nil
			}
			return d.floats(f, &floats)
		case attrInts:
			if f.body.len() > maxName {
				return nil
			}
			return d.ints(f, &a.Ints)
		case attrStrings:
			b, err := d.bytes(f)
			if err != nil {
				return err
			}
			a.Strings = append(a.Strings, append([]byte{}, b...))
			return d.spend(textCost + len(b))
		case attrT, attrTensors:
			t, err := d.decodeTensor(f)
			if f.num == attrT {
				a.Tensor = t
				return within("t", err)
			}
			if err != nil {
				return within(fmt.Sprintf("tensors[%d]", len(a.Tensors)), err)
			}
			a.Tensors = append(a.Tensors, t)
		case attrG, attrGraphs:
			g, err := d.decodeGraph(f, false)
			if f.num == attrG {
				a.Graph = g
				return within("g", err)
			}
			if err != nil {
				return within(fmt.Sprintf("graphs[%d]", len(a.Graphs)), err)
			}
			a.Graphs = append(a.Graphs, g)
		}
		return nil
	})
	a.Float = math.Float32frombits(f32)
	for _, b := range floats {
		a.Floats = append(a.Floats, math.Float32frombits(b))
	}
	if a.Type == AttrUndefined {
		a.Type = a.impliedType()
	}
	return a, err
}

// valueTypes gives the type that each value field of an attribute belongs to.
var valueTypes = [...]AttributeType{
	attrF: AttrFloat, attrI: AttrInt, attrS: AttrString, attrT: AttrTensor, attrG: AttrGraph,
	attrFloats: AttrFloats, attrInts: AttrInts, attrStrings: AttrStrings, attrTensors: AttrTensors,
	attrGraphs: AttrGraphs, attrSparse: AttrSparseTensor, attrSparses: AttrSparseTensors,
	attrTypeProto: AttrTypeProto, attrTypeProtos: AttrTypeProtos,
}

// note remembers that a field was there. An empty packed list counts as absent.
func (a *Attribute) note(f field) {
	if f.typ == protowire.BytesType && f.body.len() == 0 && (f.num == attrInts || f.num == attrFloats) {
		return
	}
	if f.num == attrType {
		a.set |= 1
	} else if int(f.num) < len(valueTypes) && valueTypes[f.num] != AttrUndefined {
		a.set |= 1 << valueTypes[f.num]
	}
}

// impliedType is the type of an attribute of IR versions 1 and 2, which did
// not write it down, as far as the fields that are set tell.
func (a *Attribute) impliedType() AttributeType {
	switch {
	case a.Ints != nil:
		return AttrInts
	case a.Floats != nil:
		return AttrFloats
	case a.Strings != nil:
		return AttrStrings
	case a.String != nil:
		return AttrString
	case a.Tensor != nil:
		return AttrTensor
	case a.Graph != nil:
		return AttrGraph
	case a.Int != 0:
		return AttrInt
	case a.Float != 0:
		return AttrFloat
	}
	return AttrUndefined
}

func (d *decoder) decodeTensor(f field) (*Tensor, error) {
	t := &Tensor{model: d.model, at: f.body}
	if err := d.spend(tensorCost); err != nil {
		return t, err
	}
	var external bool
	var data External
	data.Length = -1
	err := d.message(f, func(f field) error {
		switch f.num {
		case tensorDims:
			if err := d.ints(f, &t.Dims); err != nil {
				return within("dims", err)
			}
			if len(t.Dims) > 64 {
				return formatErrorf("dims", "more than 64 dimensions")
			}
		case tensorDataType:
			t.Type = DataType(f.varint)
			return within("data_type", f.want(protowire.VarintType))
		case tensorName:
			return within("name", d.str(f, &t.Name))
		case tensorDataLocation:
			external = f.varint == locationExternal
			return within("data_location", f.want(protowire.VarintType))
		case tensorExternalData:
			p, err := d.decodeProperty(f)
			if err == nil {
				err = data.set(p)
			}
			return within("external_data", err)
		case tensorRawData, tensorFloatData, tensorInt32Data, tensorInt64Data,
			tensorDoubleData, tensorUint64Data, tensorStringData:
			return d.addPayload(&t.payload, f)
		}
		return nil
	})
	if external {
		t.External = &data
	}
	return t, err
}

// set takes one key of external_data.
func (x *External) set(p Property) (err error) {
	number := func(into *int64) {
		v, e := strconv.ParseInt(strings.TrimSpace(p.Value), 10, 64)
		if e != nil || v < 0 {
			err = formatErrorf("", "%s is %q, want a number of bytes", p.Key, p.Value)
		}
		*into = v
	}
	switch p.Key {
	case "location":
		x.Location = p.Value
	case "offset":
		number(&x.Offset)
	case "length":
		number(&x.Length)
	case "checksum":
		x.Checksum = p.Value
	}
	return err
}

// payloadWire is the wire type of one element of each payload field.
var payloadWire = map[protowire.Number]protowire.Type{
	tensorRawData: protowire.BytesType, tensorStringData: protowire.BytesType,
	tensorFloatData: protowire.Fixed32Type, tensorDoubleData: protowire.Fixed64Type,
	tensorInt32Data: protowire.VarintType, tensorInt64Data: protowire.VarintType, tensorUint64Data: protowire.VarintType,
}

// addPayload records one payload field. The elements of unpacked repeated fields are
// kept with their tags, as one growing range.
func (d *decoder) addPayload(p *payload, f field) error {
	raw := f.num == tensorRawData
	packed := f.typ == protowire.BytesType && payloadWire[f.num] != protowire.BytesType
	if !packed {
		if err := f.want(payloadWire[f.num]); err != nil {
			return err
		}
	}
	if (packed || raw) && f.body.len() == 0 && p.field != f.num {
		return nil // an empty field is as good as none
	}
	if p.field != 0 && p.field != f.num {
		return formatErrorf("", "data in two fields (%d and %d)", p.field, f.num)
	}
	last := len(p.spans) - 1
	if last >= 0 && p.packed != packed {
		return formatErrorf("", "data is packed in part")
	}
	p.field, p.packed = f.num, packed
	switch {
	case raw:
		p.spans = append(p.spans[:0], f.body) // the last one wins, as in every protobuf parser
		return nil
	case packed:
		p.spans = append(p.spans, f.body)
		return d.spend(numberCost)
	}
	p.count++
	if last >= 0 && p.spans[last].end == f.tag {
		p.spans[last].end = f.body.end
		return nil
	}
	p.spans = append(p.spans, f.whole())
	return d.spend(numberCost)
}

// decodeSparse decodes the name and the dims of a SparseTensorProto.
func (d *decoder) decodeSparse(f field) (*Tensor, error) {
	t := &Tensor{model: d.model, at: f.body}
	err := d.message(f, func(f field) error {
		switch f.num {
		case sparseValues:
			values, err := d.decodeTensor(f)
			t.Name, t.Type = values.Name, values.Type
			return within("values", err)
		case sparseDims:
			return within("dims", d.ints(f, &t.Dims))
		}
		return nil
	})
	return t, err
}

func (d *decoder) decodeValue(f field) (*Value, error) {
	v := &Value{}
	if err := d.spend(valueCost); err != nil {
		return v, err
	}
	err := d.message(f, func(f field) error {
		switch f.num {
		case valueName:
			return within("name", d.str(f, &v.Name))
		case valueType:
			return within("type", d.decodeType(f, &v.Type))
		}
		return nil
	})
	return v, err
}

// typeKinds names the alternatives of TypeProto.
var typeKinds = map[protowire.Number]string{
	typeTensor: "tensor", typeSequence: "sequence", typeMap: "map",
	typeOpaque: "opaque", typeSparse: "sparse_tensor", typeOptional: "optional",
}

func (d *decoder) decodeType(f field, t *Type) error {
	return d.message(f, func(f field) error {
		if kind, ok := typeKinds[f.num]; ok {
			t.Kind = kind
		}
		if f.num != typeTensor && f.num != typeSparse {
			return nil
		}
		return d.message(f, func(f field) error {
			switch f.num {
			case tensorTypeElem:
				t.Elem = DataType(f.varint)
				return f.want(protowire.VarintType)
			case tensorTypeShape:
				t.Shape = Shape{}
				return within("shape", d.decodeShape(f, &t.Shape))
			}
			return nil
		})
	})
}

func (d *decoder) decodeShape(f field, s *Shape) error {
	return d.message(f, func(f field) error {
		if f.num != shapeDim {
			return nil
		}
		dim := Unknown
		err := d.message(f, func(f field) error {
			switch f.num {
			case dimValue:
				dim = Dim{}
				return d.int(f, &dim.N)
			case dimParam:
				dim = Dim{}
				if err := d.str(f, &dim.Sym); err != nil || dim.Sym != "" {
					return err
				}
				dim = Unknown
			}
			return nil
		})
		if err != nil {
			return within(fmt.Sprintf("dim[%d]", len(*s)), err)
		}
		*s = append(*s, dim)
		return nil
	})
}
