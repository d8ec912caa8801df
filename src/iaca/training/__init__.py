"""Training of fusion models and encoders, model files and predictions."""
