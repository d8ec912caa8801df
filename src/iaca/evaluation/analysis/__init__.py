"""What lies behind the headline: calibration, regions of the plane, quadrants, events, and what fails."""
