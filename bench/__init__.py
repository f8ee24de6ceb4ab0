"""Figures, as ratios inside one run: this kind of machine is shared and noisy, so an absolute time proves nothing."""
