"""The network: attention over voltages, losses, the trained model."""
