"""Fine-tuning of encoders on annotated faces and sound."""
