"""What comes in: the samples of any picture file, its colours, its metadata, and what is refused."""
