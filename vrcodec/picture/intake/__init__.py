"""Reading the picture files of other formats: samples, colours, metadata; and what is refused."""
