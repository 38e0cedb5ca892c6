// Package train makes the policies of package transformer: by REINFORCE on a
// reward, with gradients by Gorgonia. The first reward is the table of
// NAS-Bench-201, where every cell that a NAT transformation can make of another
// has been trained and measured.
//
// [Policy] makes the built-in policies: several trainings by [Learn], side by side,
// of which it keeps and scores the best. [Reinforce] is the algorithm, for any
// [Architecture] and [Reward]. A training can stop at any report and go on from
// its state, to the same bits.
package train
