package typo

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"optimize", "plan", "inspect", "in-place", "force", "max-madds", "NAT007"}
	for mistyped, want := range map[string]string{
		"optmize": "optimize", "opt": "optimize", "pln": "plan", "insepct": "inspect", "inplace": "in-place",
		"forec": "force", "maxmadds": "max-madds", "zebra": "", "x": "", "OPTIMISE": "optimize",
		"nat007": "NAT007",
	} {
		if got := Nearest(mistyped, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", mistyped, got, want)
		}
	}
}
