"""What a person opens in a browser, served to this machine alone: latent explorer and viewer.

Everything is computed in Python and handed over as plain values; the page draws it. A server listens on
127.0.0.1 only, opens no file outside the folders it was given, and answers 404 to anything else.
"""
