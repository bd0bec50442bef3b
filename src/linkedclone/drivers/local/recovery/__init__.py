"""What killed commands and missing files leave, and how it is mended."""
