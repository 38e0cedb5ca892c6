// Package search looks for the changes of a network that save most and harm
// least, by evaluating candidates: at random, greedily, or as proposed by
// a policy that learns from the evaluations. [Random], [Greedy] and [NAT] get the
// same [Problem] and the same number of evaluations; their results depend on
// these and the seed alone, as long as no limit of time is set.
//
// # The policy
//
// As in NAT (Guo et al., NAT: Neural Architecture Transformer for Accurate and
// Compact Architectures, 2019), the policy is a graph convolution network that
// gives each operation logits to be kept, skipped or nulled; candidates are
// drawn from it and measured, it is adapted by their rewards, -log loss, under
// a bound of the cost, and the best one measured is the result. What an option o
// of a site destroys is
//
//	log d(o) = w0 + w1 log Harm(o) + mean over its actions a of log(p(keep)/p(a)) + own(o)
//
// with p from the network, whose last layer starts at 0, and own(o) from 0, so
// that all starts from Harm. A candidate c is expected to have the loss
//
//	log loss(c) = q log(sum over c of d(o)) + sum over c of f(o) + stray(c).
//
// The power q, 1 to 2, is for errors that add up in one direction; the factors f
// are for options that make up for others; stray is what this cannot say, and is
// alike for candidates that differ at few sites.
//
// The paper trains by stochastic policy gradients (REINFORCE), with thousands of
// samples. Here a sample takes a second, and there are some 100. With options
// drawn in proportion to exp(-score), the natural gradient of the expected reward is the least
// squares fit of rewards by the gradients of scores (Kakade, A natural policy
// gradient, 2001; Peters and Schaal, Natural actor-critic, 2008), and it can use
// all samples at once, whatever they were drawn for: after each round, the weights
// take the regularised solution of that fit, by Gauss-Newton steps, with Gaussian
// priors for all weights and the size of stray by its likelihood. The entropy
// bonus becomes the posterior's width: candidates are drawn by drawing weights
// from it (Thompson, On the likelihood that one unknown probability exceeds
// another, 1933) by Matheron's rule, at temperatures from 0 to 0.7, and taking the
// options of least score and cost times a Lagrange multiplier, bisected to meet the
// budget. Half of the proposals are exchanges in the best candidate so far.
package search
