"""ExoRL's own files: what there is, fetched, verified and unpacked."""
