"""What films there are to be, and who makes their footage: the files that users write."""
