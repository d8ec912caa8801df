"""Visual encoders: one module each, from aligned RGB faces to rows."""
