"""The run function of TFX's Trainer: trains the baseline."""
