// Command codegen checks a Pulumi package schema and generates the Python SDK from it, with Pulumi's own code.
//
//	codegen check schema.json          print every diagnostic of BindSpec; exit 1 when there is one
//	codegen python schema.json OUTDIR  write the Python SDK below OUTDIR
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "codegen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "check":
		_, err := bind(args[1])
		return err
	case len(args) == 3 && args[0] == "python":
		return generate(args[1], args[2])
	}
	return fmt.Errorf("usage: codegen check SCHEMA | codegen python SCHEMA OUTDIR")
}

// bind reads and checks a schema. Warnings count as errors: a schema is ours to keep clean.
func bind(file string) (*schema.Package, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	pkg, diagnostics, err := schema.BindSpec(spec, schema.NewPluginLoader(nil), schema.ValidationOptions{})
	if err != nil {
		return nil, err
	}
	for _, diagnostic := range diagnostics {
		fmt.Fprintln(os.Stderr, diagnostic.Error())
	}
	if len(diagnostics) > 0 {
		return nil, fmt.Errorf("%s: %d diagnostics", file, len(diagnostics))
	}
	return pkg, nil
}

func generate(file, directory string) error {
	pkg, err := bind(file)
	if err != nil {
		return err
	}
	files, err := python.GeneratePackage("kiln", pkg, nil, schema.NewPluginLoader(nil))
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(directory, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
