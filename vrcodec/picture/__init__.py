"""Pictures as they come in and go out: samples, alpha, metadata, and the files of other formats."""
