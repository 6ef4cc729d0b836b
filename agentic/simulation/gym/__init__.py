"""The tasks as gymnasium environments: identifiers, one episode, many episodes in one batch."""
