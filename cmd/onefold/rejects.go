package main

import (
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	csvtable "github.com/onefold/onefold/adapters/table"
)

// rejects is the file of what a load could not take: a line a row or value, with where it stands, why, and how to mend it. Of a row that
// was not taken it holds the row itself, so it is for its owner only (invariant 9). It is made when there is something to write.
type rejects struct {
	path string
	file *os.File
	w    *csv.Writer
}

// newRejects answers the file of that path; without one it is called by the file that is loaded, in this folder.
func newRejects(path, loaded string) (*rejects, error) {
	if path == "" {
		path = filepath.Base(loaded) + ".rejects.csv"
	}
	if here, err := os.Stat(path); err == nil {
		if there, err := os.Stat(loaded); err == nil && os.SameFile(here, there) {
			return nil, &usage{text: "the rejects would be written over the file that is loaded", hint: "name another file with --rejects"}
		}
		if here.IsDir() {
			return nil, &usage{text: "--rejects names a folder", hint: "name a file"}
		}
		if err := os.Remove(path); err != nil { // of an earlier run: it says nothing of this one
			return nil, surroundings(err, "name a file that this user may write with --rejects")
		}
	}
	return &rejects{path: path}, nil
}

// row notes a row that was not taken.
func (r *rejects) row(e csvtable.Entry) error {
	return r.write("row", *e.Fault, string(e.Raw))
}

// values notes the values that a row was taken without.
func (r *rejects) values(e csvtable.Entry) error {
	var errs []error
	for _, d := range e.Doubts {
		errs = append(errs, r.write("value", d, ""))
	}
	return errors.Join(errs...)
}

func (r *rejects) write(what string, f csvtable.Fault, row string) error {
	if r.file == nil {
		var err error
		if r.file, err = os.OpenFile(r.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
			return surroundings(err, "name a file that this user may write with --rejects")
		}
		r.w = csv.NewWriter(r.file)
		_ = r.w.Write([]string{"line", "column", "left out", "reason", "how to mend it", "row"}) // a csv.Writer keeps its error for Flush
	}
	column := ""
	if f.Column > 0 {
		column = strconv.Itoa(f.Column)
	}
	return r.w.Write([]string{strconv.Itoa(f.Line), column, what, f.Text, f.Hint, spreadsheet(row)})
}

// written answers the file's path, if there is one.
func (r *rejects) written() string {
	if r.file == nil {
		return ""
	}
	return r.path
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	r.w.Flush()
	return errors.Join(r.w.Error(), r.file.Close())
}
