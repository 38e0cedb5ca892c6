package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/natonnx/natonnx/internal/typo"
	"github.com/urfave/cli/v2"
)

// commonFlags are those of every command.
func commonFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print the result as one JSON document"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print nothing but what was asked for, and errors"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print more detail"},
		&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show this help"},
	}
}

// badValue says in natonnx's words which flag has a value that it cannot have.
func badValue(command string, err error) error {
	msg := err.Error()
	rest, ok := strings.CutPrefix(msg, "invalid value ")
	if !ok {
		rest, ok = strings.CutPrefix(msg, "invalid boolean value ")
	}
	quoted, e := strconv.QuotedPrefix(rest)
	value, _ := strconv.Unquote(quoted)
	if !ok || e != nil {
		return usagef("%s: %s", command, msg)
	}
	rest = rest[len(quoted):]
	for _, joint := range []string{" for flag -", " for -"} {
		if at, ok := strings.CutPrefix(rest, joint); ok {
			flag, reason, _ := strings.Cut(at, ": ")
			if reason == "parse error" {
				reason = "want true or false"
			}
			return usagef("%s %s: %s", dashed(flag), value, reason)
		}
	}
	return usagef("%s: %s", command, msg)
}

// A choice is a flag's value out of a few.
type choice struct {
	value string
	among []string
}

func (c *choice) String() string { return c.value }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.among, s) {
		err := "want " + oneOf(c.among)
		if near := typo.Nearest(s, c.among); near != "" {
			err += "; did you mean " + near + "?"
		}
		return errors.New(err)
	}
	c.value = s
	return nil
}

func oneOf(list []string) string {
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

func choiceFlag(name, value, usage string, among ...string) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &choice{value, among}}
}

// A count is a flag's value that is a whole number in a range. One that begins
// below the range has no default of its own.
type count struct {
	value    uint64
	min, max uint64
}

func (c *count) String() string {
	if c.value < c.min {
		return ""
	}
	return strconv.FormatUint(c.value, 10)
}

func (c *count) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 64)
	switch {
	case err == nil && n >= c.min && n <= c.max:
	case c.max == math.MaxUint64:
		return fmt.Errorf("want a whole number, %d or more", c.min)
	default:
		return fmt.Errorf("want a whole number from %d to %d", c.min, c.max)
	}
	c.value = n
	return nil
}

func countFlag(name string, value, min, max uint64, usage string) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &count{value, min, max}}
}

func seedFlag() cli.Flag {
	return countFlag("seed", 0, 0, math.MaxUint64, "`N` seeds all random choices")
}

func progressFlag() cli.Flag {
	return choiceFlag("progress", "auto", "`WHEN` to show progress: auto (on a terminal), plain (line by line) or none", "auto", "plain", "none")
}

func countOf(c *cli.Context, name string) uint64 { return c.Generic(name).(*count).value }

func choiceOf(c *cli.Context, name string) string { return c.Generic(name).(*choice).value }

// A bound is a flag's value that bounds a cost: a number, such as 1.5G, or a
// share of somebody's, such as 90%.
type bound struct {
	text    string
	number  float64
	percent bool
	whose   string // of which the share is
}

func (b *bound) String() string { return b.text }

var suffixes = map[byte]float64{'k': 1e3, 'K': 1e3, 'M': 1e6, 'G': 1e9, 'T': 1e12}

// oddDigits are in numbers that Go reads and people do not write on command lines.
const oddDigits = "xXpPeE_+"

func (b *bound) Set(s string) error {
	digits, scale := s, 1.0
	if s != "" {
		last := s[len(s)-1]
		if f, ok := suffixes[last]; ok {
			digits, scale = s[:len(s)-1], f
		}
		b.percent = last == '%'
		if b.percent {
			digits = s[:len(s)-1]
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(n > 0) || n*scale >= math.MaxInt64 || strings.ContainsAny(digits, oddDigits) {
		return fmt.Errorf("want a number above 0, such as 300M or 1.5G, or a share of the %s, such as 90%%", b.whose)
	}
	b.text, b.number = s, n*scale
	return nil
}

// A portion is a flag's value that is a share below all: 90%.
type portion struct {
	text  string
	share float64
}

func (p *portion) String() string { return p.text }

func (p *portion) Set(s string) error {
	digits, ok := strings.CutSuffix(s, "%")
	x, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(x > 0 && x < 100) || strings.ContainsAny(digits, oddDigits) {
		return errors.New("want a share of the input's below 100%, such as 90%")
	}
	p.text, p.share = s, x/100
	return nil
}

// points is a flag's value in percentage points.
type points struct{ value float64 }

func (p *points) String() string { return strconv.FormatFloat(p.value, 'f', -1, 64) }

func (p *points) Set(s string) error {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= 0 && x <= 100) || strings.ContainsAny(s, oddDigits) {
		return errors.New("want percentage points from 0 to 100, such as 1 or 0.5")
	}
	p.value = x
	return nil
}

// of returns the bound where the whole is cost; 0 where none was given.
func (b *bound) of(cost int64) int64 {
	switch {
	case b.text == "":
		return 0
	case b.percent:
		return max(1, int64(float64(cost)*b.number/100))
	}
	return max(1, int64(b.number))
}

func boundFlag(name, usage string) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &bound{whose: "input's"}}
}

func boundOf(c *cli.Context, name string) *bound { return c.Generic(name).(*bound) }

// A real is a flag's value of 0 or more; where zero is not allowed, of more.
type real struct {
	value float64
	zero  bool
}

// String is empty for a flag without a default of its own.
func (n *real) String() string {
	if n.value == 0 && !n.zero {
		return ""
	}
	return strconv.FormatFloat(n.value, 'f', -1, 64)
}

func (n *real) Set(s string) error {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= 0) || math.IsInf(x, 0) {
		return errors.New("want a number of 0 or more, such as 0.01")
	}
	if x == 0 && !n.zero {
		return errors.New("want a number above 0, such as 0.01")
	}
	n.value = x
	return nil
}

func numberFlag(name string, value float64, usage string) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &real{value, false}}
}

// amountFlag is numberFlag that may be 0.
func amountFlag(name string, value float64, usage string) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &real{value, true}}
}

func numberOf(c *cli.Context, name string) float64 { return c.Generic(name).(*real).value }

// A part is a flag's value that is a share of something, below all of it.
type part struct{ share float64 }

func (p *part) String() string { return strconv.FormatFloat(100*p.share, 'g', 6, 64) + "%" }

func (p *part) Set(s string) error {
	digits, ok := strings.CutSuffix(s, "%")
	x, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(x > 0 && x < 100) {
		return errors.New("want a share above 0% and below 100%, such as 40%")
	}
	p.share = x / 100
	return nil
}

func shareFlag(name string, value float64, usage string) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &part{value}}
}

func shareOf(c *cli.Context, name string) float64 { return c.Generic(name).(*part).share }
