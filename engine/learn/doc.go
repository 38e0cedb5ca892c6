// Package learn changes parameters: losses and their gradients, optimizers, and
// the course of the learning rate. Definitions are PyTorch's.
//
// A step of training is [engine.Training.Forward], a loss such as [CrossEntropy],
// [engine.Training.Backward] with the loss's gradient, and [Optimizer.Step].
package learn
