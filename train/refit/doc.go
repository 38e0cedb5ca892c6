// Package refit recovers a rewritten network in closed form: it gives linear
// operations new weights, so that their results come as near as possible to
// those of the original network on some images.
//
// # Algebra
//
// Let a linear operation of the rewritten network (a convolution, a fully
// connected layer) read x̂, the network's activations with all that was changed
// before it, and let Φ hold one row for each sampled position of the output: the
// inputs under the window, and a 1 for the bias. Let z be what the original has
// in the place of the operation's result: the value of the same name; where the
// result is an operand of a sum, the original's sum less the other operands as
// they are now; where a normalization a·y + b follows, (z - b)/a. The weights w
// minimize
//
//	|Φw - z|² + λ|w - w₀|²,   that is   (ΦᵀΦ + λI)(w - w₀) = Φᵀ(z - Φw₀)
//
// in which w₀ are the weights as they were, the identity for what was put in the
// place of a removed branch. λ is α·tr(ΦᵀΦ)/k, for k unknowns; α is the one of a
// few powers of ten that gives the smallest error on images held back from the
// sums. Where none is better than w₀, w₀ stays.
//
// Where a Relu or Clip follows, what it cuts off does not matter: positions
// whose target lies beyond a limit get the nearer of target and limit that the
// current weights predict, and the right side is solved again; ΦᵀΦ stays.
//
// Operations are fitted one after the other in the order of the network, each
// with those before it in place (asymmetric reconstruction: Zhang, Zou, He, Sun,
// Accelerating very deep convolutional networks for classification and
// detection, TPAMI 2016, section 3.3; ridge regression of weights: He, Zhang,
// Sun, Channel pruning for accelerating very deep neural networks, ICCV 2017,
// section 3.1).
package refit
