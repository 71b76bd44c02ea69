"""What a model is: manifest and digest, headers parsed from bytes, tensors streamed one at a time."""
