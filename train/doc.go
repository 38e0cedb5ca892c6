// Package train makes the policies of package transformer: by REINFORCE on a
// reward, with gradients by Gorgonia. The first reward is the table of
// NAS-Bench-201, where every cell that a NAT transformation can make of another
// has been trained and measured.
package train
