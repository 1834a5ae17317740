"""What is looked at before it is believed, or written over: files from anywhere, their schema, values and digests, and
the places that something is to be written to."""
