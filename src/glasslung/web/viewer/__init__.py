"""The viewer: a patient's scans with all that was found in them, in a browser of this machine.

`case` opens a story, or a scan alone; `layers` makes what is drawn out of masks (outlines, surfaces, a list
of lesions); `links` says where a place of one scan lies in another; `corrections` keeps what a reader redrew;
`told` says all this in plain values, `page` and `server` hand it over, on 127.0.0.1 alone.
"""
