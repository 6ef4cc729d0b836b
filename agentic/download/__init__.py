"""ExoRL's own files.

catalogue    the 54 data sets
download     one of them, verified and unpacked, in steps that can be interrupted
fetch, http  a file over HTTP, and one request for it
unpack       an archive, judged before it is written
local_copy   what of a data set lies on this disk
manifest     where it comes from, and every file in it
"""
