"""Sound to numbers: log-mel front ends and prosodic descriptors, on a 10 ms grid from the container's start."""
