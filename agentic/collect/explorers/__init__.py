"""The explorers, one module each; `explorer.Explorer` is their interface."""
