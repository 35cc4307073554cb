"""What stands in picture files beside the picture that Pillow decodes, format by format."""
