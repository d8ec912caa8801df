"""Audio encoders: one module each, from 16 kHz samples to a row for each step."""
