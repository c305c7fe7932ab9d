package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// MaxFile is the largest configuration file read, in bytes.
const MaxFile = 4 << 20

// Load reads a configuration file and checks it, including that the files it
// names can be read and hold what they should, and that secrets are not open to
// everybody. The Config is
// nil if there is any error; warnings may accompany a usable one.
func Load(path string) (*Config, Problems) {
	data, err := readFile(path)
	if err != nil {
		return nil, Problems{{File: path, Text: err.Error()}}
	}
	p := parse(path, data)
	if p.config != nil {
		p.checkFiles()
	}
	return p.result()
}

// Read is Load without a look at the files that the configuration names: for
// commands that only talk to the running daemon, which has read them.
func Read(path string) (*Config, Problems) {
	data, err := readFile(path)
	if err != nil {
		return nil, Problems{{File: path, Text: err.Error()}}
	}
	return Parse(path, data)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("there is no such file")
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	case info.IsDir():
		return nil, errors.New("is a directory, not a configuration file")
	case info.Size() > MaxFile:
		return nil, fmt.Errorf("is larger than %s", Size(MaxFile))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return data, nil
}

// Parse checks a configuration without touching the disk. name is the file's
// name, for messages and as the base of relative paths.
func Parse(name string, data []byte) (*Config, Problems) {
	return parse(name, data).result()
}

// parser collects everything that is wrong with one document.
type parser struct {
	name     string
	data     []byte
	pos      *positions
	config   *Config // nil after a syntax error
	problems Problems
}

func parse(name string, data []byte) *parser {
	p := &parser{name: name, data: data}
	var doc map[string]any
	if !p.syntax(&doc) {
		return p
	}
	p.pos = locate(data)
	p.config = Default()
	p.table(nil, p.config, doc)
	p.check()
	p.resolvePaths()
	return p
}

func (p *parser) result() (*Config, Problems) {
	p.problems.sort()
	if len(p.problems.Errors()) > 0 {
		return nil, p.problems
	}
	return p.config, p.problems
}

// syntax reads the document; a document that is not TOML has one problem,
// because after it nothing can be told.
func (p *parser) syntax(doc *map[string]any) bool {
	p.pos = &positions{data: p.data, at: map[string]place{}}
	if !utf8.Valid(p.data) {
		off := 0
		for off < len(p.data) {
			r, n := utf8.DecodeRune(p.data[off:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			off += n
		}
		p.problemAt(p.pos.offset(off), nil, "the file is not UTF-8", "")
		return false
	}
	if bytes.HasPrefix(p.data, []byte("\xef\xbb\xbf")) {
		p.problemAt(place{1, 1}, nil, "the file begins with a byte order mark", "save it as UTF-8 without one")
		return false
	}
	err := toml.Unmarshal(p.data, doc)
	if err == nil {
		return true
	}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		line, col := de.Position()
		p.problemAt(place{max(line, 1), max(col, 1)}, nil, "this is not TOML: "+trimToml(de.Error()), "")
		return false
	}
	p.problemAt(place{1, 1}, nil, "this is not TOML: "+trimToml(err.Error()), "")
	return false
}

func trimToml(s string) string {
	if len(s) > 6 && s[:6] == "toml: " {
		return s[6:]
	}
	return s
}

// errorf notes a mistake at a key.
func (p *parser) errorf(at path, suggestion, format string, args ...any) {
	p.problemAt(p.pos.find(at), at, fmt.Sprintf(format, args...), suggestion)
}

// warnf notes a warning at a key.
func (p *parser) warnf(at path, suggestion, format string, args ...any) {
	p.errorf(at, suggestion, format, args...)
	p.problems[len(p.problems)-1].Warning = true
}

// problemAt notes a problem; what is nowhere in the file (a key that is
// missing) is reported at its beginning, without an excerpt.
func (p *parser) problemAt(pos place, at path, text, suggestion string) {
	line := excerpt(p.pos.line(pos.line))
	p.problems = append(p.problems, Problem{
		File: p.name, Line: max(pos.line, 1), Col: max(pos.col, 1), Key: at.String(),
		Text: text, Suggestion: suggestion, Excerpt: line,
	})
}

// resolvePaths makes relative paths relative to the file.
func (p *parser) resolvePaths() {
	c := p.config
	paths := []*Path{&c.TLS.Cert, &c.TLS.Key, &c.Store.Dir, &c.Metrics.TokenFile}
	for _, f := range wayFiles(c) {
		paths = append(paths, f.file)
	}
	for _, v := range paths {
		if *v != "" && !filepath.IsAbs(string(*v)) {
			*v = Path(filepath.Join(filepath.Dir(p.name), string(*v)))
		}
	}
}
