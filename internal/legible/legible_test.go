package legible

import (
	"math"
	"os/exec"
	"testing"
)

func TestNumbers(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{Amount(0, " ", ""), "0"}, {Amount(7, " ", ""), "7"}, {Amount(999, " ", ""), "999"}, {Amount(999, NoBreak, "B"), "999\u00a0B"},
		{Amount(1000, " ", ""), "1.000 k"}, {Amount(9999, " ", ""), "9.999 k"}, {Amount(10000, " ", ""), "10.00 k"},
		{Amount(9_999_400, " ", ""), "9.999 M"}, {Amount(9_999_500, " ", ""), "10.00 M"}, {Amount(99_996_000, " ", ""), "100.0 M"},
		{Amount(999_949, " ", ""), "999.9 k"}, {Amount(999_950, " ", ""), "1.000 M"},
		{Amount(1814073344, " ", ""), "1.814 G"}, {Amount(46_827_520, " ", "B"), "46.83 MB"}, {Amount(175258, NoBreak, ""), "175.3\u00a0k"},
		{Amount(999_960_000_000_000, " ", ""), "1000 T"}, {Amount(math.MaxInt64, " ", "B"), "9223372 TB"},
		{Amount(-7, " ", ""), "-7"}, {Amount(-1814073344, " ", ""), "-1.814 G"}, {Amount(math.MinInt64, " ", ""), "-9223372 T"},

		{FourDigits(0), "0.000"}, {FourDigits(0.01234), "0.012"}, {FourDigits(9.9994), "9.999"}, {FourDigits(9.9996), "10.00"},
		{FourDigits(99.996), "100.0"}, {FourDigits(999.96), "1000"}, {FourDigits(12345.6), "12346"}, {FourDigits(math.Inf(1)), "+Inf"},

		{Grouped(0), "0"}, {Grouped(999), "999"}, {Grouped(1000), "1\u202f000"}, {Grouped(-999), "−999"}, {Grouped(-1234567), "−1\u202f234\u202f567"},
		{Grouped(math.MinInt64), "−9\u202f223\u202f372\u202f036\u202f854\u202f775\u202f808"},

		{Change(5, 5, ""), "same"}, {Change(0, 0, ""), "same"}, {Change(0, 3, ""), "new"}, {Change(100, 50, ""), "-50.0%"},
		{Change(100, 227, " "), "+127.0 %"}, {Change(1e9, 1e9+128, ""), "+128"}, {Change(1e9, 1e9-128, " "), "-128"},

		{Plural(0, "move"), "0 moves"}, {Plural(1, "move"), "1 move"}, {Plural(2000, "move"), "2000 moves"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestTexts(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{Line("layer1.0/conv"), "layer1.0/conv"}, {Line("Überschrift ×5 層"), "Überschrift ×5 層"}, {Line("a\r\nb\tc"), "a  b c"},
		{Line("\x1b[2Jgone\x00"), "\uFFFD[2Jgone\uFFFD"}, {Line("\u202eevil\u200b"), "\uFFFDevil\uFFFD"}, {Line("\u009b31m"), "\uFFFD31m"},
		{Line("broken \xff\xfe"), "broken \uFFFD\uFFFD"}, {Line("\uFFFD"), "\uFFFD"},

		{Clip("four", 4), "four"}, {Clip("fives", 4), "fiv…"}, {Clip("層層層", 3), "層層層"}, {Clip("層層層層", 3), "層層…"},
		{Clip("\xff\xff\xff", 2), "\uFFFD…"}, {Clip("a", 0), "…"}, {Clip("a", -1), "…"}, {Clip("", 0), ""},

		{Uncomputed("=1+1"), "'=1+1"}, {Uncomputed("+1"), "'+1"}, {Uncomputed("-1"), "'-1"}, {Uncomputed("@a"), "'@a"},
		{Uncomputed("\t=1"), "'\t=1"}, {Uncomputed("\r=1"), "'\r=1"}, {Uncomputed("1=1"), "1=1"}, {Uncomputed(""), ""},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

// A shell is the judge of what it takes for one word.
func TestShellWords(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	for _, word := range []string{"table.csv", "with a space", "", "~", "it's", "$HOME", "a;b", "mean=1,2;std=3", "*", "50%", "\"`\\", "#", "-o"} {
		got, err := exec.Command(sh, "-c", "printf %s. "+ShellWord(word)).Output()
		if err != nil || string(got) != word+"." {
			t.Errorf("%q is written as %s, which a shell reads as %q (%v)", word, ShellWord(word), got, err)
		}
	}
}
