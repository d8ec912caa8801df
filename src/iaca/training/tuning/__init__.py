"""Fine-tuning of visual encoders on annotated faces."""
