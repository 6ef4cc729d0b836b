"""Data in the formats of others: ExoRL's npz episodes out, Minari data sets out and in.

exorl      what is to be exported, streamed, and ExoRL's format
minari     data sets of the minari package
recorded   whether data that others recorded are those of the task
"""
