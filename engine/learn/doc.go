// Package learn changes parameters: losses and their gradients, optimizers, and
// the course of the learning rate. Definitions are PyTorch's.
package learn
