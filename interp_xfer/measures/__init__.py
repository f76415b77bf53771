"""What is measured of a concept in two models without generating text."""
