"""The exploration methods, one module each; `explorer.Explorer` says what a method is."""
