"""Foreign file formats: everything that reads or writes a file somebody else defined."""
