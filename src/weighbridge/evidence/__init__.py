"""What was seen and measured about exact bytes."""
