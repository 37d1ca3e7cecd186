"""What is this near? Vectors, the index over them, and few-shot prototypes."""
