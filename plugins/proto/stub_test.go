package proto_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onefold/onefold/plugins/proto"
)

var update = flag.Bool("update", false, "write what is generated here")

// What protoc-gen-go has generated says what adapter.proto says: names, numbers, kinds. Who forgot `make generate` learns it here.
func TestGeneratedCodeIsOfTheFile(t *testing.T) {
	text, err := os.ReadFile("adapter.proto")
	if err != nil {
		t.Fatal(err)
	}
	var written, generated []string
	name := ""
	for _, line := range strings.Split(string(text), "\n") {
		if m := regexp.MustCompile(`^message (\w+) \{`).FindStringSubmatch(line); m != nil {
			name = m[1]
		} else if m := regexp.MustCompile(`^  (optional |repeated |)([\w<>, ]+) (\w+) = (\d+);`).FindStringSubmatch(line); m != nil {
			written = append(written, name+" "+m[1]+m[2]+" "+m[3]+" "+m[4])
		} else if m := regexp.MustCompile(`^  rpc (\w+)\((\w+)\) returns \((\w+)\);`).FindStringSubmatch(line); m != nil {
			written = append(written, m[1]+" "+m[2]+" "+m[3])
		}
	}
	file := proto.File_adapter_proto
	for _, m := range all(file.Messages()) {
		for i := range m.Fields().Len() {
			generated = append(generated, string(m.Name())+" "+spelt(m.Fields().Get(i)))
		}
	}
	methods := file.Services().Get(0).Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		generated = append(generated, fmt.Sprintf("%s %s %s", m.Name(), m.Input().Name(), m.Output().Name()))
	}
	slices.Sort(written)
	slices.Sort(generated)
	if d := cmp.Diff(written, generated); d != "" {
		t.Errorf("run make generate: adapter.proto (-) and adapter.pb.go (+) differ\n%s", d)
	}
	if len(written) < 40 {
		t.Errorf("%d lines were read", len(written))
	}
}

func all(list protoreflect.MessageDescriptors) (out []protoreflect.MessageDescriptor) {
	for i := range list.Len() {
		out = append(out, list.Get(i))
	}
	return out
}

// spelt writes a field as the file does.
func spelt(f protoreflect.FieldDescriptor) string {
	kind := f.Kind().String()
	switch {
	case f.IsMap():
		kind = "map<string, string>"
	case f.IsList():
		kind = "repeated " + named(f)
	case f.HasOptionalKeyword():
		kind = "optional " + kind
	case f.Message() != nil:
		kind = named(f)
	}
	return kind + " " + string(f.Name()) + " " + strconv.Itoa(int(f.Number()))
}

func named(f protoreflect.FieldDescriptor) string {
	if f.Message() != nil {
		return string(f.Message().Name())
	}
	return f.Kind().String()
}

const stub = "../examples/loyalty/adapter_v1.py"

// The stub of the example in Python is generated from the same descriptors: a table of messages, and of methods.
func TestPythonStub(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Code generated from plugins/proto/adapter.proto by make generate. DO NOT EDIT.\n" +
		"\"\"\"The messages and methods of onefold.adapter.v1: (number, name, kind, how often).\"\"\"\n\nMESSAGES = {\n")
	file := proto.File_adapter_proto
	messages := all(file.Messages())
	for _, m := range messages {
		messages = append(messages, all(m.Messages())...) // entries of maps
	}
	for _, m := range messages {
		fmt.Fprintf(&b, "    %q: [\n", m.Name())
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			often := "one"
			switch {
			case f.IsMap():
				often = "map"
			case f.IsList():
				often = "many"
			case f.HasPresence():
				often = "optional"
			}
			fmt.Fprintf(&b, "        (%d, %q, %q, %q),\n", f.Number(), f.Name(), named(f), often)
		}
		b.WriteString("    ],\n")
	}
	service := file.Services().Get(0)
	fmt.Fprintf(&b, "}\n\nSERVICE = %q\n\nMETHODS = {\n", service.FullName())
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		fmt.Fprintf(&b, "    %q: (%q, %q),\n", m.Name(), m.Input().Name(), m.Output().Name())
	}
	b.WriteString("}\n")
	if *update {
		if err := os.WriteFile(stub, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(stub)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(is), b.String()); d != "" {
		t.Errorf("run make generate: %s\n%s", stub, d)
	}
}
