"""snnquant: take a trained spiking neural network to exact integers."""

__version__ = "0.1.0"
