"""Where files are kept: a disk or a bucket behind one interface."""
