package cellmap

// Correlation is for tests that state the model of images once more.
const Correlation = correlation
