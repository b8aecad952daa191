"""What takes over from the systems that musterd replaces: one module for each thing taken."""
