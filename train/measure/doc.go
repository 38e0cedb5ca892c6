// Package measure says how well and how fast networks do: accuracy on labelled
// data, agreement and distance between two networks, and latency. Every result
// carries what is needed to repeat it, and every share its 95 % interval.
//
// [Evaluate] measures on data, [Drifted] compares two networks on seeded noise
// where there are none, and [Timed] measures the latency.
package measure
