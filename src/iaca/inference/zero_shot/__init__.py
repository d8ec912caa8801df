"""The zero-shot starting model: valence and arousal by rules, from encoders that learned something else."""
