"""Files, folders and arrays -> labelled images: reading, decoding, caching, splitting."""
