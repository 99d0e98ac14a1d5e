"""Personal data in text of any script: where it stands, of which kind it is, and how to hide it."""
