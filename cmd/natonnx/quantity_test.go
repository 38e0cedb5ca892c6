package main

import "testing"

func TestAmount(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 7: "7", 999: "999", 1000: "1.000 k", 9999: "9.999 k", 10000: "10.00 k", 999949: "999.9 k", 999950: "1.000 M",
		1814073344: "1.814 G", 15470264320: "15.47 G", -1814073344: "-1.814 G", 1<<63 - 1: "9223372 T",
	} {
		if got := amount(n); got != want {
			t.Errorf("amount(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestBounds(t *testing.T) {
	const cost = 2_000_000
	for text, want := range map[string]int64{
		"1.5G": 1_500_000_000, "300M": 300_000_000, "2k": 2000, "2K": 2000, "12": 12, "90%": 1_800_000, "12.5%": 250_000,
		"150%": 3_000_000, "0.00001%": 1, "0.5": 1,
	} {
		var b bound
		if err := b.Set(text); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := b.of(cost); got != want {
			t.Errorf("%s of %d is %d, want %d", text, cost, got, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "G", "%", "1.5.2", "1e9", "NaN", "Inf", "9223372036854775808", "99999999T", "1 G", "0x10"} {
		if err := new(bound).Set(text); err == nil {
			t.Errorf("%q is taken as a bound", text)
		}
	}
	if got := new(bound).of(cost); got != 0 {
		t.Errorf("no bound is %d, want 0", got)
	}
}

func TestChange(t *testing.T) {
	for _, test := range []struct {
		before, after int64
		want          string
	}{{5, 5, "same"}, {0, 0, "same"}, {0, 3, "new"}, {100, 50, "-50.0%"}, {100, 227, "+127.0%"}, {1e9, 1e9 + 128, "+128"}, {1e9, 1e9 - 128, "-128"}} {
		if got := change(test.before, test.after); got != test.want {
			t.Errorf("change(%d, %d) = %q, want %q", test.before, test.after, got, test.want)
		}
	}
}
