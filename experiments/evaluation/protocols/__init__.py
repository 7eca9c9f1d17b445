"""Evaluates by protocols beside the published one: across benchmarks, and several side by side."""
