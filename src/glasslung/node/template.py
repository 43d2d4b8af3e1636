"""The settings file that `glasslung node init` writes: every key with its default and what it means."""

from __future__ import annotations

TEMPLATE = """\
# A node of glasslung. Research use only, not a medical device.
# Keys show their default and may be left out, all but folder, [[peers]] and [[destinations]].

folder = "glasslung-node"   # objects, queue, stories, results: on a disk with room, not shared with others
title = "GLASSLUNG"         # this node's AE title; the archive must know it, with this machine's address
port = 11112
listen = "127.0.0.1"        # address of this machine at which it listens; "0.0.0.0": all of them
keep_days = 30.0            # what was sent or set aside is removed after so many days

# Who may send. One table for each; addresses are IP addresses or networks, names are not looked up.
[[peers]]
title = "ORTHANC"
addresses = ["127.0.0.1"]

# Where results go. One table for each: a DICOM application, or a DICOMweb server (url).
[[destinations]]
name = "archive"
title = "ORTHANC"
address = "127.0.0.1"
port = 4242
# url = "https://archive.example/dicom-web"
# authorization_file = "token"   # its content is the value of the Authorization header
results = ["segmentation", "report", "pdf", "map"]   # which kinds it takes

# A DICOMweb server that is asked for new CT studies, beside or instead of [[peers]].
# [watch]
# url = "https://archive.example/dicom-web"
# authorization_file = "token"
# every_seconds = 60.0
# last_days = 2

# Where earlier studies of a patient come from, beside this node's own folder.
[earlier]
most = 3                    # how many are compared with
# title = "ORTHANC"         # by C-FIND and C-MOVE: the archive must know this node, and be one of its peers
# address = "127.0.0.1"
# port = 4242
# url = "https://archive.example/dicom-web"   # or by QIDO and WADO

[limits]
object_mib = 512            # one object; it is held in memory while it arrives
study_gib = 8.0
study_objects = 20000
associations = 4            # at once
idle_seconds = 60.0         # an association that is silent for so long is ended
stop_gib = 5.0              # below so much free disk objects are refused,
resume_gib = 8.0            # above so much they are taken again

[work]
quiet_seconds = 30.0        # a study is complete when nothing of it has come for so long
minutes = 60.0              # an analysis that takes longer is ended
memory_gib = 12.0           # and one that wants more
tries = 2                   # how often one that was lost is begun
segmenter = ""              # as in `glasslung analyze`: a run's folder, a shipped name, none, or "" for what
classifier = ""             # ships for the scan's grey values
prognosis = ""

[sending]
tries = 100                 # before a study is set aside; with these waits, a day
first_seconds = 10.0
longest_seconds = 900.0
"""
