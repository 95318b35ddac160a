"""Pictures in, trained weights out: reading, augmenting, scheduling, the training loop."""
