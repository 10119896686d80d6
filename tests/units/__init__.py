"""What the generic tests do not cover, unit by unit."""
