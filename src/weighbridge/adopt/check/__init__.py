"""May we take this model into use? Seventeen questions, each a function of what was found and of who we are."""
