"""The store: one HDF5 file whose arrays are memory-mapped.

    /observations       [N, T, O] float32      attributes of the file: format, version, domain,
    /actions            [N, T, A] float32      source, dates, control, versions, sha256 (of
    /physics            [N, T + 1, P] float64  observations and actions); of physics: sha256
    /lengths            [N] int32
    /rewards/{task}     [N, T] float32         attributes: control, sha256, date
    /returns/{task}     [N] float64
    /last_observations  [N, O] float32         seen after the last step; attribute: sha256
    /features/{...}     [N, T, F] float32      what a task family's rewards read of a state, named
                                               after the features; attributes: control, sha256, date

Every array is contiguous and uncompressed, so its bytes lie in the file as they lie in memory, and
the operating system pages them in. Rows beyond an episode's length are zero. Physics, rewards
and last observations may be missing.

    reading     the arrays of a store that is there; damage is refused in words
    writing     a new store, filled episode by episode
    output      the file that is written to
    labelling   the rewards of more tasks, or the features of families, for a store that is there
"""
